package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
)

// attacks would each leave their place in the page, were they not escaped.
var attacks = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`, `</style><style>*{display:none}</style>`,
	`</div></details></section><h1>other</h1>`, `<!--`, `-->`, `]]>`, `&lt;b&gt;&amp;`, `{{.Style}}`, `<svg onload=alert(1)>`, `<base href="http://example.org/">`,
	`<meta http-equiv="refresh" content="0;url=http://example.org/">`, "\u202eright to left", "\u2066isolated", "nul \x00 bell \a escape \x1b[31m", "\r\n\r", `\boxed{<b>1</b>}`,
	"\u2028\u2029\ufeff", strings.Repeat("W", 5000), strings.Repeat("\n", 300), `<a href="javascript:alert(1)">x</a>`, `<iframe src="http://example.org/"></iframe>`,
	"a lone surrogate \xed\xa0\x80", "\xff\xfe",
}

// hostile writes an evaluation all of whose texts are attacks, and one of whose
// answers is a line of a megabyte.
func hostile(t testing.TB, dir string) []string {
	t.Helper()
	texts := append(append([]string{}, attacks...), strings.Repeat(`\boxed{`, 1<<17)+attacks[0], strings.Repeat("W", 1<<20), strings.Repeat("<b>é", 1<<18))
	patterns := make([]string, len(texts))
	for i := range patterns {
		patterns[i] = "-~"
	}
	all := answers(patterns, func(problem, sample int, _ bool) string {
		if sample == 0 {
			return texts[problem]
		}
		return strings.Join(attacks, " ") + texts[problem]
	})
	for i := range all {
		a := texts[i%len(texts)]
		a = a[:min(len(a), 4000)] // as grade cuts a verdict's
		if utf8.ValidString(a) {  // JSON has no others; the files of generations have, below
			all[i].Generation.Prompt, all[i].Generation.Answer, all[i].Verdict.Truth = a, a, a
		}
		all[i].Verdict.Answer, all[i].Verdict.By, all[i].Verdict.Judgement, all[i].Generation.FinishReason = a, a, a, a
		if i%3 == 0 {
			all[i].Verdict.Error = a
		}
	}
	model := attacks[0] + attacks[13] + strings.Repeat("M", 500)
	evaluation(t, filepath.Join(dir, "eval"), model, "", map[string][]graded{"sums": all})
	// The names of sets, as a folder that was tampered with has them.
	path := filepath.Join(dir, "eval", resultsName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(attacks[1] + attacks[15])
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "eval/"+resultsName, bytes.ReplaceAll(b, []byte(`"set": "sums"`), append([]byte(`"set": `), name...)))
	// encoding/json writes U+FFFD for what is no UTF-8; the authors' files can have it.
	file := filepath.Join(dir, "eval", "sums_t0.7_p0.9_n2-MNT4096.jsonl")
	if b, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(file), filepath.Base(file), bytes.ReplaceAll(b, []byte(`a lone surrogate \ufffd\ufffd\ufffd"`), []byte(`a lone surrogate \ud800"`)))
	return []string{filepath.Join(dir, "eval")}
}

func TestHostileAnswers(t *testing.T) {
	dirs := hostile(t, t.TempDir())
	page, _ := pageOf(t, dirs, Options{})
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "&amp;lt;b&amp;gt;&amp;amp;", "{{.Style}}", "&lt;/style&gt;&lt;style&gt;", "⟨U+202E⟩right to left", "⟨U+2066⟩isolated", "nul ⟨U+0000⟩ bell ⟨U+0007⟩",
	} {
		if !strings.Contains(page, strings.ReplaceAll(want, "+", "&#43;")) {
			t.Errorf("the page does not show %q as text", want)
		}
	}
	for _, not := range []string{"\x00", "\u202e", "\u2066", "\x1b", `="http:`, "javascript:alert(1)\"", "ZgotmplZ"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if !utf8.ValidString(page) {
		t.Error("the page is no UTF-8")
	}
	if len(page) > 2<<20 {
		t.Errorf("answers of a megabyte made a page of %d bytes", len(page))
	}
	r, err := Open(dirs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Table().Text(&text); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x00\x1b\a\r\u202e") || strings.Count(text.String(), "\n") != 2 {
		t.Errorf("the terminal would be told %q", text.String())
	}
}

// small are limits that a few hundred kB go beyond.
func small() limits { return limits{inline: 100_000, page: 10_000} }

// many are so many wrong answers that they do not fit into a report with small limits.
func many(t testing.TB, dir string) []string {
	t.Helper()
	patterns := make([]string, 30)
	for i := range patterns {
		patterns[i] = "+---"
	}
	evaluation(t, filepath.Join(dir, "eval"), "Long-1.5B", "", map[string][]graded{"sums": answers(patterns, func(problem, sample int, right bool) string {
		return strings.Repeat("I count it once more. ", 500) + brief(problem, sample, right)
	})})
	return []string{filepath.Join(dir, "eval")}
}

// Many wrong answers go to pages of their own: every one of them once, all of
// them small, and each problem's number leads to it.
func TestManyWrongAnswers(t *testing.T) {
	dirs := many(t, t.TempDir())
	r, err := Open(dirs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.limits = small()
	page, beside := written(t, r)
	if len(page) > 100_000 {
		t.Errorf("the report has %d bytes", len(page))
	}
	files, err := filepath.Glob(filepath.Join(beside, "*.html"))
	if err != nil || len(files) < 2 {
		t.Fatalf("pages %v, %v", files, err)
	}
	texts := map[string]string{}
	shownTwice := map[string]bool{}
	total := 0
	wrong := regexp.MustCompile(`wrong-answer" id="([^"]+)"`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		webpagetest.WellFormed(t, text, style(), more)
		if len(text) > 2*small().page+len(style()) {
			t.Errorf("%s has %d bytes", f, len(text))
		}
		texts[filepath.Base(f)] = text
		for _, m := range wrong.FindAllStringSubmatch(text, -1) {
			if shownTwice[m[1]] {
				t.Errorf("%s is shown twice", m[1])
			}
			shownTwice[m[1]] = true
			total++
		}
		for _, m := range regexp.MustCompile(`href="([^"#]+)"`).FindAllStringSubmatch(text, -1) {
			to, err := url.PathUnescape(m[1])
			if err == nil {
				_, err = os.Stat(filepath.Join(beside, to))
			}
			if err != nil && !strings.HasSuffix(m[1], ".html") { // the report itself has been read and is gone with its folder
				t.Errorf("%s leads to %s: %v", f, m[1], err)
			}
		}
	}
	if all := strings.Join(sortedValues(texts), ""); strings.Count(all, ", continued<") != 30 {
		t.Errorf("%d problems go on on the next page, want all 30", strings.Count(all, ", continued<"))
	}
	if total != 90 {
		t.Errorf("%d wrong answers are shown, there are 90", total)
	}
	links := regexp.MustCompile(`<li><a href="\./report-answers/([^"#]+)#([^"]+)">(\d+)</a> <small>✗ 3</small>`).FindAllStringSubmatch(page, -1)
	if len(links) != 30 {
		t.Fatalf("%d links, want one for each of 30 problems", len(links))
	}
	for _, l := range links {
		if !strings.Contains(texts[l[1]], fmt.Sprintf(`<h3 id="%s">Problem %s <`, l[2], l[3])) {
			t.Errorf("%s has no problem %s at %s", l[1], l[3], l[2])
		}
	}
}

// A report that needs fewer pages than the last one leaves none behind, and
// nothing else is touched.
func TestPagesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.html")
	report := func(dirs []string) int {
		r, err := Open(dirs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.limits = small()
		n, err := r.File(file)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := report(many(t, filepath.Join(dir, "many"))); n < 2 {
		t.Fatalf("%d pages", n)
	}
	write(t, dir, "r-answers/mine.html", []byte("mine"))
	if n := report(fixture(t, filepath.Join(dir, "few"))); n != 0 {
		t.Errorf("%d pages", n)
	}
	left, err := os.ReadDir(filepath.Join(dir, "r-answers"))
	if err != nil || len(left) != 1 || left[0].Name() != "mine.html" {
		t.Errorf("left are %v, %v", left, err)
	}
	remove(t, dir, "r-answers/mine.html")
	report(fixture(t, filepath.Join(dir, "few")))
	if _, err := os.Stat(filepath.Join(dir, "r-answers")); !os.IsNotExist(err) {
		t.Errorf("an empty folder is left: %v", err)
	}
}

// A response is shown whole, or its end and two pieces from before, in order.
func FuzzExcerpt(f *testing.F) {
	for _, s := range []string{"", "short", strings.Repeat("é", 3000), strings.Repeat("x", 100_000) + `\boxed{1}`, strings.Repeat("\xff", 9000), strings.Repeat("\x00\u202e", 4000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := newExcerpt(s)
		size, end := 0, "" // what follows the last gap
		for _, span := range append(slices.Clone(e.Before), e.End...) {
			size += len(span.Text)
			if !utf8.ValidString(span.Text) || strings.ContainsAny(span.Text, "\x00\x1b\u202e") {
				t.Errorf("shown is %q", span.Text)
			}
			if end += span.Text; span.Left {
				end = ""
			}
		}
		if !strings.HasSuffix(shown(s), end) && utf8.ValidString(s) {
			t.Errorf("%q does not end with %q", s, end)
		}
		if size > 9*(endBytes+endBytes/2+beforeBytes) {
			t.Errorf("%d bytes are shown", size)
		}
		if len(s) < endBytes/3 && end != shown(s) {
			t.Errorf("%q became %q", s, end)
		}
	})
}

// Whatever stands in an evaluation's folder: an error, or a page of nothing but
// the template's elements.
func FuzzReport(f *testing.F) {
	dir := f.TempDir()
	dirs := fixture(f, dir)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dirs[0], "terse", name))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	const name = "sums_t0.7_p0.9_n2-MNT4096.jsonl"
	f.Add(read(resultsName), read("verdicts/"+name), read(name), []byte(`{"model":"m"}`))
	f.Add([]byte(`[{"hyperparameters":{"task_name":"x"},"problems":1,"answers":1,"mean_score":0,"pass_at_k":[{"k":1,"mean":1e308},{"k":2,"mean":-1e308}]}]`), []byte(`{"example_id":0}`), []byte("{}"), []byte(`null`))
	f.Fuzz(func(t *testing.T, results, verdicts, generations, record []byte) {
		dir := t.TempDir()
		write(t, dir, resultsName, results)
		write(t, dir, "verdicts/"+name, verdicts)
		write(t, dir, name, generations)
		write(t, dir, recordName, record)
		r, err := Open([]string{dir}, Options{})
		if err != nil {
			return
		}
		file := filepath.Join(dir, "report.html")
		if _, err := r.File(file); err != nil {
			return
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		webpagetest.WellFormed(t, string(b), style(), more)
		for _, svg := range strings.Split(string(b), "<svg")[1:] {
			svg, _, _ = strings.Cut(svg, "</svg>")
			if _, marks, _ := strings.Cut(svg, ">"); strings.Contains(marks, "NaN") || strings.Contains(marks, "Inf") {
				t.Errorf("a plot has no numbers: %.300q", marks)
			}
		}
		if err := r.JSON(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
	})
}
