package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/report"
	"github.com/justrl/justrl/benchmarks/sweep"
)

// sweepResultsName is the file in a sweep's folder with all figures.
const sweepResultsName = "results.json"

// sweepResults are a sweep's figures.
type sweepResults struct {
	Out         string          `json:"out"`
	Evaluations []string        `json:"evaluations"` // those that are complete, by folder
	Left        []string        `json:"left,omitempty"`
	Report      json.RawMessage `json:"report"` // as justrl report --json has it
	Spread      []sweep.Spread  `json:"spread,omitempty"`
}

// finishSweep writes one report of what is complete, and prints one table.
func finishSweep(c *cli.Context, plan *sweep.Plan) error {
	res := sweepResults{Out: plan.Dir}
	var dirs []string
	for _, e := range plan.Evaluations {
		if !e.Done {
			res.Left = append(res.Left, e.Name)
			continue
		}
		res.Evaluations, dirs = append(res.Evaluations, e.Name), append(dirs, e.Dir)
	}
	if len(dirs) == 0 {
		return nil
	}
	r, err := report.Open(dirs, report.Options{Problems: problemsAtHand(c)})
	if err != nil {
		return err
	}
	labelSweep(r, plan)
	res.Spread = plan.Spreads(func(e *sweep.Evaluation, c *sweep.Cell) (float64, bool) {
		for _, cell := range r.Cells {
			if cell.Contender.Folder == e.Dir && strings.EqualFold(cell.Set, c.Set.Name) && cell.Contender.Template == c.Template.Name {
				return cell.Results.MeanScore, e.Done
			}
		}
		return 0, false
	})
	r.Vary(variations(res.Spread))
	var text bytes.Buffer
	if err := r.JSON(&text); err != nil {
		return err
	}
	res.Report = text.Bytes()
	page := filepath.Join(plan.Dir, report.Name)
	if _, err := r.File(page); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(plan.Dir, sweepResultsName), func(w io.Writer) error { return jsonLines(w).Encode(res) }); err != nil {
		return err
	}
	if c.Bool("json") {
		return jsonLines(c.App.Writer).Encode(res)
	}
	if err := r.Table().Text(c.App.Writer); err != nil {
		return err
	}
	if err := sweep.SpreadText(c.App.Writer, res.Spread); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "\nresults %s\nreport %s\n", filepath.Join(plan.Dir, sweepResultsName), page)
	return err
}

// variations are spreads as the page takes them.
func variations(all []sweep.Spread) []report.Variation {
	var out []report.Variation
	for _, s := range all {
		v := report.Variation{Over: s.Over, Set: s.Set, Of: s.Of, Mean: s.Mean, SD: s.SD}
		for _, x := range s.Scores {
			v.Scores = append(v.Scores, report.VariedScore{Value: x.Value, MeanScore: x.MeanScore})
		}
		out = append(out, v)
	}
	return out
}

// labelSweep names what is compared as the spec does: the report knows neither
// seeds nor judges' names. What all have in common is left out.
func labelSweep(r *report.Report, plan *sweep.Plan) {
	parts := map[*report.Contender][]string{}
	differ := map[int]bool{}
	var first []string
	for _, c := range r.Contenders {
		for _, e := range plan.Evaluations {
			if e.Dir != c.Folder {
				continue
			}
			p := e.Parts()
			if c.Template != "" || len(plan.Spec.Templates) > 1 {
				title := c.Template
				if title == "" {
					title = report.PaperTemplate
				}
				p = append(p, title)
			} else {
				p = append(p, "")
			}
			parts[c] = p
			if first == nil {
				first = p
			}
			for i := range p {
				if p[i] != first[i] {
					differ[i] = true
				}
			}
		}
	}
	for c, p := range parts {
		c.Label = p[0]
		for i := 1; i < len(p); i++ {
			if differ[i] && p[i] != "" {
				c.Label += " · " + p[i]
			}
		}
	}
}
