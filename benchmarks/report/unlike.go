package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/justrl/justrl/benchmarks/sets"
)

// unlike says in which of the paper's sets the cells were not measured as the
// published figures were; "" if all were.
func (r *Report) unlike() string {
	var said []string
	for _, set := range r.Sets {
		for _, c := range r.Contenders {
			cell := r.cell(set, c)
			if cell == nil {
				continue
			}
			if how := cell.unlike(); how != "" && !slices.Contains(said, set+" "+how) {
				said = append(said, set+" "+how)
			}
		}
	}
	if len(said) == 0 {
		return ""
	}
	const most = 3
	if more := len(said) - most; more > 0 {
		said = append(said[:most], fmt.Sprintf("and %d more", more))
	}
	return "Not as the published figures were measured: " + strings.Join(said, "; ")
}

// unlike is what a cell has other than the paper.
func (c *Cell) unlike() string {
	set, err := sets.Lookup(c.Set)
	if err != nil {
		return ""
	}
	var how []string
	if n := c.Results.Problems; n != set.Rows {
		how = append(how, fmt.Sprintf("%d of %d problems", n, set.Rows))
	}
	for _, s := range []struct{ name, is, paper string }{
		{"answers", c.Sampling.N, strconv.Itoa(set.K)}, {"temperature", c.Sampling.Temperature, "0.7"},
		{"top-p", c.Sampling.TopP, "0.9"}, {"tokens", c.Sampling.MaxTokens, "31744"},
	} {
		if s.is != "" && s.is != s.paper {
			how = append(how, fmt.Sprintf("%s %s, not %s", s.name, s.is, s.paper))
		}
	}
	return strings.Join(how, ", ")
}
