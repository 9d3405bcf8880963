package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// grows notes a cell whose results are of fewer answers than its record says.
func (r *Report) grows(rec record, c *Cell) {
	for set, will := range rec.Sets {
		n, err := strconv.Atoi(c.Sampling.N)
		if err != nil || !strings.EqualFold(set, c.Sampling.Task) || will.N <= n && will.Problems <= c.Results.Problems {
			continue
		}
		line := fmt.Sprintf("%s: %s is still growing: the results are of %d problems, %d answers each; it will be %d problems, %d answers each", c.Contender.Folder, c.Set, c.Results.Problems, n, will.Problems, will.N)
		if !slices.Contains(r.Growing, line) {
			r.Growing = append(r.Growing, line)
		}
	}
}
