package report

import (
	"testing"

	"github.com/justrl/justrl/benchmarks/generations"
)

func TestUnlikeThePaper(t *testing.T) {
	for _, tc := range []struct {
		set      string
		problems int
		sampling generations.Name
		want     string
	}{
		{"AIME24", 30, generations.Name{Temperature: "0.7", TopP: "0.9", N: "32", MaxTokens: "31744"}, ""},
		{"MATH-500", 500, generations.Name{Temperature: "0.7", TopP: "0.9", N: "4", MaxTokens: "31744"}, ""},
		{"MATH-500", 500, generations.Name{}, ""}, // a file whose name does not say
		{"my own", 3, generations.Name{N: "1"}, ""},
		{"AMC23", 7, generations.Name{Temperature: "1.0", TopP: "0.9", N: "4", MaxTokens: "2048"}, "7 of 40 problems, answers 4, not 32, temperature 1.0, not 0.7, tokens 2048, not 31744"},
	} {
		c := Cell{Set: tc.set, Sampling: tc.sampling}
		c.Results.Problems = tc.problems
		if got := c.unlike(); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc, got, tc.want)
		}
	}
}
