package report

import (
	"encoding/json"
	"io"

	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/benchmarks/table"
)

// Table is that of the results: for each set those of the contenders, then the
// published ones, which go without a mean of their own unless they have all sets.
func (r *Report) Table() table.Table {
	var rows []table.Row
	for _, set := range r.Sets {
		for _, c := range r.Contenders {
			if cell := r.cell(set, c); cell != nil {
				rows = append(rows, table.Row{Name: set, Model: c.Label, Results: cell.Results})
			}
		}
		for _, p := range Published() {
			if percent, ok := p.Scores[set]; ok {
				share := percent / 100
				rows = append(rows, table.Row{Name: set, Model: p.Model + " (" + Source + ")", Published: &share})
			}
		}
	}
	return table.Of(rows)
}

// cellJSON is a cell as JSON has it.
type cellJSON struct {
	Model           string           `json:"model"`
	Template        string           `json:"template"`
	Set             string           `json:"set"`
	Hyperparameters generations.Name `json:"hyperparameters"`
	metrics.Results
}

// meanJSON is a contender's mean over its sets.
type meanJSON struct {
	Model     string   `json:"model"`
	Template  string   `json:"template"`
	Sets      []string `json:"sets"`
	MeanScore float64  `json:"mean_score"`
}

// JSON writes all figures: cells, means, comparisons, breakdowns, spreads
// between templates, and what was published of these sets (in percent).
func (r *Report) JSON(w io.Writer) error {
	out := struct {
		Cells       []cellJSON     `json:"cells"`
		Means       []meanJSON     `json:"means"`
		Comparisons []Comparison   `json:"comparisons"`
		Breakdowns  []Breakdown    `json:"breakdowns"`
		Templates   []Spread       `json:"templates"`
		Published   []PublishedRow `json:"published_percent"`
		Source      string         `json:"published_in"`
	}{Comparisons: r.Compare(), Breakdowns: r.Breakdowns(), Templates: r.Spreads(), Published: r.publishedRows(), Source: Source}
	for _, c := range r.Cells {
		out.Cells = append(out.Cells, cellJSON{c.Contender.Model, c.Contender.template(), c.Set, c.Sampling, c.Results})
	}
	for _, c := range r.Contenders {
		mean, sets := r.mean(c)
		out.Means = append(out.Means, meanJSON{c.Model, c.template(), sets, mean})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// publishedRows are the published ones, if any of the report's sets is among theirs.
func (r *Report) publishedRows() []PublishedRow {
	for _, set := range r.Sets {
		if _, ok := Published()[0].Scores[set]; ok {
			return Published()
		}
	}
	return nil
}
