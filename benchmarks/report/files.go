package report

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/numerals"
)

// limits say how much goes where, in bytes: up to inline of wrong answers are
// part of the report; more of them go to pages of about so many.
type limits struct{ inline, page int }

func defaultLimits() limits { return limits{inline: 4 << 20, page: 3 << 19} }

// Name is that of the report in an evaluation's folder.
const Name = "report.html"

// File writes the report to a file, and where there are many wrong answers the
// pages with them into the folder FILE without its ending and with "-answers".
// The file is replaced last and whole; after that, pages of an older report that
// are no part of this one are removed. Returned is how many pages there are in
// the folder. It blocks until all is written.
func (r *Report) File(path string) (apart int, err error) {
	t, err := pages()
	if err != nil {
		return 0, err
	}
	p, err := r.newPage()
	if err != nil {
		return 0, err
	}
	w := &writer{r: r, t: t, main: path, dir: strings.TrimSuffix(path, filepath.Ext(path)) + "-answers", written: map[string]bool{}}
	if p.Wrong, err = w.sections(); err != nil {
		return 0, fmt.Errorf("report: %w", err)
	}
	p.Apart = len(w.written) > 0
	if err := atomicdir.ReplaceFile(path, func(out io.Writer) error { return execute(out, t, "main", p) }); err != nil {
		return 0, err
	}
	return len(w.written), w.sweep()
}

// writer is a report on its way to disk.
type writer struct {
	r         *Report
	t         *template.Template
	main, dir string
	written   map[string]bool // names in dir
}

// sections are the wrong answers of every cell that has some, in the report
// while they fit.
func (w *writer) sections() ([]wrongSection, error) {
	var all []wrongSection
	size := 0
	for _, c := range w.r.Cells {
		if len(c.wrong) == 0 {
			continue
		}
		s := w.section(c, w.main)
		for v, err := range c.views(w.r.limits.page) {
			if err != nil {
				return nil, err
			}
			if size += v.size(); size > w.r.limits.inline {
				return w.apart()
			}
			s.Problems = append(s.Problems, v)
		}
		// In one page problems of several cells have one number.
		for i := range s.Problems {
			s.Problems[i].prefix(s.Anchor)
		}
		all = append(all, s)
	}
	return all, nil
}

// section is a cell's, without its answers, on a page at a path.
func (w *writer) section(c *Cell, page string) wrongSection {
	contender := slices.Index(w.r.Contenders, c.Contender) + 1
	s := wrongSection{
		Anchor: fmt.Sprintf("w-%d-%s-%d", slices.Index(w.r.Sets, c.Set)+1, slug(c.Set), contender), Set: c.Set, Model: c.Contender.Label,
		About: fmt.Sprintf("%s of %s.", numerals.Count(int64(len(c.wrong))), numerals.CountOf(c.Results.Answers, "answer")),
		File:  relative(page, c.File), Name: shown(filepath.Base(c.File)),
	}
	if c.File == "" {
		s.Name = shown(c.Sampling.File())
	}
	return s
}

// apart writes the wrong answers to pages of their own.
func (w *writer) apart() ([]wrongSection, error) {
	if err := os.MkdirAll(w.dir, 0o777); err != nil {
		return nil, err
	}
	var all []wrongSection
	for _, c := range w.r.Cells {
		if len(c.wrong) == 0 {
			continue
		}
		s := w.section(c, w.main)
		b := &book{w: w, c: c, name: strings.TrimPrefix(s.Anchor, "w-"), at: map[string]string{}}
		for v, err := range c.views(w.r.limits.page) {
			if err == nil {
				err = b.add(v)
			}
			if err != nil {
				return nil, err
			}
		}
		if err := b.flush(true); err != nil {
			return nil, err
		}
		wrong := map[int]int{}
		var ids []int
		for _, v := range c.wrong {
			if wrong[v.ExampleID]++; wrong[v.ExampleID] == 1 {
				ids = append(ids, v.ExampleID)
			}
		}
		for _, id := range ids {
			s.Links = append(s.Links, link{Href: b.at[c.anchor(id)], Text: fmt.Sprint(id), Note: "✗ " + fmt.Sprint(wrong[id])})
		}
		all = append(all, s)
	}
	return all, nil
}

// book is a cell's pages.
type book struct {
	w        *writer
	c        *Cell
	name     string
	n        int // pages written
	size     int
	problems []problemView
	at       map[string]string // where an anchor is
}

func (b *book) page(n int) string { return fmt.Sprintf("%s.%d.html", b.name, n) }

func (b *book) add(v problemView) error {
	if len(b.problems) > 0 && b.size+v.size() > b.w.r.limits.page {
		if err := b.flush(false); err != nil {
			return err
		}
	}
	b.problems, b.size = append(b.problems, v), b.size+v.size()
	if v.Anchor != "" {
		b.at[v.Anchor] = relative(b.w.main, filepath.Join(b.w.dir, b.page(b.n+1))) + "#" + v.Anchor
	}
	return nil
}

// answersPage is one of a book.
type answersPage struct {
	frame
	Main, Before, Next string
	Set, Part          string
	Section            wrongSection
}

func (b *book) flush(last bool) error {
	b.n++
	path := filepath.Join(b.w.dir, b.page(b.n))
	p := answersPage{frame: newFrame(b.c.Set + ": wrong answers"), Main: relative(path, b.w.main), Set: b.c.Set, Section: b.w.section(b.c, path)}
	p.Section.Problems = b.problems
	if b.n > 1 {
		p.Before = "./" + b.page(b.n-1)
	}
	if !last {
		p.Next = "./" + b.page(b.n+1)
	}
	if b.n > 1 || !last {
		p.Part = fmt.Sprintf("Page %d: problems %s to %s.", b.n, b.problems[0].ID, b.problems[len(b.problems)-1].ID)
	}
	b.w.written[b.page(b.n)] = true
	b.problems, b.size = nil, 0
	return atomicdir.ReplaceFile(path, func(out io.Writer) error { return execute(out, b.w.t, "answers", p) })
}

// ours is what the names of answers' pages look like.
var ours = regexp.MustCompile(`^\d+-[a-z0-9-]*-\d+\.\d+\.html$`)

// sweep removes what an older report left.
func (w *writer) sweep() error {
	all, err := os.ReadDir(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	left := 0
	for _, e := range all {
		if w.written[e.Name()] || !ours.MatchString(e.Name()) {
			left++
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(w.dir, e.Name())))
	}
	if left == 0 && err == nil {
		err = os.Remove(w.dir)
	}
	return err
}

// relative is the address of a file for a page, or of another file's part: "" of "".
func relative(page, file string) string {
	if file == "" {
		return ""
	}
	from, err1 := filepath.Abs(filepath.Dir(page))
	to, err2 := filepath.Abs(file)
	rel, err3 := filepath.Rel(from, to)
	if errors.Join(err1, err2, err3) != nil {
		return ""
	}
	u := url.URL{Path: "./" + filepath.ToSlash(rel)}
	return u.EscapedPath()
}

// slug is a set's name for a file's.
func slug(set string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(set))
	return strings.Trim(s[:min(len(s), 60)], "-")
}

// size is about how long the problem is on a page, in bytes.
func (v problemView) size() int {
	n := 400 + len(template.HTMLEscapeString(v.Prompt)) + len(v.Truth)
	for _, a := range v.Answers {
		n += a.size()
	}
	return n
}

// prefix tells the problem's anchors from those of another cell.
func (v *problemView) prefix(with string) {
	if v.Anchor != "" {
		v.Anchor = with + "-" + v.Anchor
	}
	for i := range v.Answers {
		v.Answers[i].Anchor = with + "-" + v.Answers[i].Anchor
	}
}
