// Package measure is what the benchmarks share: medians with their spread, the
// machine and its load, and a contender that is a process of its own.
package measure

import (
	"fmt"
	"slices"
)

// Spread is a median with what it lies between.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sorts x, which is not empty.
func SpreadOf(x []float64) Spread {
	slices.Sort(x)
	n := len(x)
	return Spread{Median: (x[(n-1)/2] + x[n/2]) / 2, Min: x[0], Max: x[n-1]}
}

// Text is the median with the lowest and the highest behind it.
func (s Spread) Text(digits int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}
