package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/internal/webpage"
)

//go:embed page.html
var pageText string

//go:embed page.css
var ownStyle string

// style is the whole style sheet of a page.
func style() string { return webpage.StyleSheet + ownStyle }

// page is what the main template shows; everything that is no template.HTML is escaped.
type page struct {
	frame
	Status      string
	Lead        string
	Tiles       []tile
	ScoreTable  tableView
	Scores      chart.View
	More        []chart.View
	Passes      []chart.View
	Comparisons tableView
	Spreads     tableView
	Variations  tableView // in the place of Spreads, where there are any
	Varied      string    // their headline
	Over        []chart.View
	Breakdowns  []tableView
	Verdicts    tableView
	Graders     []fact
	Details     tableView
	Wrong       []wrongSection
	Apart       bool // the wrong answers are on pages of their own
	Settings    []fact
	Records     []fact
}

// frame is what every page has.
type frame struct {
	Title, Policy string
	Style         template.CSS
}

func newFrame(title string) frame {
	return frame{Title: title, Policy: webpage.Policy(style()), Style: template.CSS(style())}
}

// tile is one of the headline's figures.
type tile struct{ Name, Value, Note string }

// fact is a name with what it says.
type fact struct{ Name, Value string }

// wrongSection is a cell's wrong answers: the problems themselves, or links to
// where they are.
type wrongSection struct {
	Anchor, Set, Model string
	About              string
	File               string // path of the generations, to follow; "" without
	Name               string // of that file
	Problems           []problemView
	Links              []link
}

// link leads to a problem's wrong answers.
type link struct{ Href, Text, Note string }

func (r *Report) newPage() (*page, error) {
	p := &page{
		frame: newFrame(r.headline()), Status: r.status(), Lead: r.lead(), Tiles: r.tiles(), ScoreTable: r.scoreTable(),
		Comparisons: r.comparisonTable(), Spreads: r.spreadTable(), Breakdowns: r.breakdownTables(), Verdicts: r.verdictTable(), Details: r.detailTable(),
	}
	var err error
	p.Scores, p.More, p.Passes, err = r.views()
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if p.Over, err = r.variationViews(); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	p.Variations, p.Varied = r.variationTable(), "By "+strings.Join(r.over(), " and by ")
	for _, c := range r.Cells {
		if c.Grader != "" {
			p.Graders = gather(p.Graders, c.Contender.Label, c.Grader)
		}
	}
	for _, c := range r.Contenders {
		p.Settings = gather(p.Settings, c.Label, c.sampling)
	}
	for _, f := range r.Folders {
		if f.Record != nil {
			p.Records = append(p.Records, fact{f.Path, shown(string(f.Record))})
		}
	}
	return p, nil
}

// gather adds a name to the fact of a value, so that what many have in common is
// said once.
func gather(all []fact, name, value string) []fact {
	for i := range all {
		if all[i].Value == value {
			if !slices.Contains(strings.Split(all[i].Name, ", "), name) {
				all[i].Name += ", " + name
			}
			return all
		}
	}
	return append(all, fact{name, value})
}

// status says how much was measured.
func (r *Report) status() string {
	answers := 0
	for _, c := range r.Cells {
		answers += c.Results.Answers
	}
	return "Evaluation: " + numerals.CountOf(len(r.Sets), "set") + ", " + numerals.CountOf(len(r.Contenders), "model") + ", " + numerals.CountOf(answers, "answer")
}

// headline is the outcome in one line.
func (r *Report) headline() string {
	sets := r.common()
	over := numerals.CountOf(len(sets), "set")
	if len(sets) == 1 {
		over = sets[0]
	}
	switch n := len(r.Contenders); {
	case len(sets) == 0:
		return numerals.CountOf(n, "model") + " on " + numerals.CountOf(len(r.Sets), "set") + ", none of them common to all"
	case n == 1:
		return score(r.meanOver(r.Contenders[0], sets)) + "\u00a0% right on " + over
	case n == 2:
		return score(r.meanOver(r.Contenders[0], sets)) + "\u00a0% and " + score(r.meanOver(r.Contenders[1], sets)) + "\u00a0% right on " + over
	default:
		best := slices.MaxFunc(r.Contenders, func(a, b *Contender) int {
			x, y := r.meanOver(a, sets), r.meanOver(b, sets)
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		return "Best of " + fmt.Sprint(n) + ": " + best.Label + ", " + score(r.meanOver(best, sets)) + "\u00a0% right on " + over
	}
}

// lead tells a newcomer what was done.
func (r *Report) lead() string {
	text := "Each problem was answered several times; avg@k is the share of right ones among k answers, the mean over the problems of a set. " +
		"pass@k is the chance that at least one of k answers is right, majority@k that the most frequent one is."
	if sets := r.common(); len(sets) > 1 {
		text += " Above is the plain mean over " + strings.Join(sets, ", ") + "."
	}
	return text
}

// mostTiles is how many contenders have a tile.
const mostTiles = 8

func (r *Report) tiles() []tile {
	var all []tile
	sets := r.common()
	over := "on " + strings.Join(sets, "")
	if len(sets) > 1 {
		over = "mean of " + numerals.CountOf(len(sets), "set")
	}
	for _, c := range r.Contenders {
		if len(sets) == 0 || len(all) == mostTiles {
			break
		}
		all = append(all, tile{c.Label, score(r.meanOver(c, sets)) + "\u00a0%", "avg@k " + over})
	}
	answers, wrong, judged := 0, 0, 0
	cut, ends := 0.0, 0
	for _, c := range r.Cells {
		answers += c.Results.Answers
		wrong += len(c.wrong)
		judged += c.Results.Verdicts.Judged
		if t := c.Results.Truncated; t != nil {
			cut += *t * float64(c.Results.Answers)
			ends += c.Results.Answers
		}
	}
	share := func(n float64, of int) string { return numerals.Percent(100 * n / float64(of)) }
	all = append(all, tile{"Wrong answers", numerals.Count(int64(wrong)), share(float64(wrong), answers) + " of " + numerals.Count(int64(answers))})
	if ends > 0 {
		all = append(all, tile{"Cut off", share(cut, ends), "of the answers, at the limit of tokens"})
	}
	if judged > 0 {
		all = append(all, tile{"Asked the judge", numerals.Count(int64(judged)), "of what the rules did not accept"})
	}
	return all
}

// templates are parsed once a report.
func pages() (*template.Template, error) {
	t, err := webpage.Parts().Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return t, nil
}

func execute(w io.Writer, t *template.Template, name string, data any) error {
	if err := t.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	return nil
}
