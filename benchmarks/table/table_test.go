package table

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks/metrics"
)

func rows(t *testing.T) []Row {
	t.Helper()
	two := []metrics.Problem{
		{ID: 0, Distinct4: 0.5, Answers: []metrics.Answer{{Correct: true, By: "rule", Vote: "a", Tokens: 8, FinishReason: "stop", Boxed: true}, {Vote: "b", Tokens: 11, FinishReason: "length"}}},
		{ID: 1, Answers: []metrics.Answer{{Correct: true, By: "judge", Judgement: "A", Vote: "a"}}},
	}
	one := []metrics.Problem{{ID: 0, Answers: []metrics.Answer{{Failed: true}}}}
	var out []Row
	for i, p := range [][]metrics.Problem{two, one} {
		r, err := metrics.Compute(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Row{[]string{"aime|24", "é"}[i], r})
	}
	return out
}

func TestWriters(t *testing.T) {
	table := Of(rows(t))
	var text, markdown, csv strings.Builder
	for _, err := range []error{table.Text(&text), table.Markdown(&markdown), table.CSV(&csv)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ got, want string }{
		"text": {text.String(), `set      problems    n  avg@n %          95 %  pass@n %  maj@n %  none  all  4-gram  tokens  cut %  no box  by rule  by judge  errors
aime|24         2  1-2    75.00  50.00-100.00     75.00    75.00     0    1   0.250      10  50.00       2        1         1       0
é               1    1     0.00     0.00-0.00      0.00     0.00     1    0   0.000       -      -       1        0         0       1
mean                      37.50
`},
		"markdown": {markdown.String(), `| set | problems | n | avg@n % | 95 % | pass@n % | maj@n % | none | all | 4-gram | tokens | cut % | no box | by rule | by judge | errors |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| aime\|24 | 2 | 1-2 | 75.00 | 50.00-100.00 | 75.00 | 75.00 | 0 | 1 | 0.250 | 10 | 50.00 | 2 | 1 | 1 | 0 |
| é | 1 | 1 | 0.00 | 0.00-0.00 | 0.00 | 0.00 | 1 | 0 | 0.000 | - | - | 1 | 0 | 0 | 1 |
| mean |  |  | 37.50 |  |  |  |  |  |  |  |  |  |  |  |  |
`},
		"csv": {csv.String(), `set,problems,n,avg@n %,95 %,pass@n %,maj@n %,none,all,4-gram,tokens,cut %,no box,by rule,by judge,errors
aime|24,2,1-2,75.00,50.00-100.00,75.00,75.00,0,1,0.250,10,50.00,2,1,1,0
é,1,1,0.00,0.00-0.00,0.00,0.00,1,0,0.000,-,-,1,0,0,1
mean,,,37.50,,,,,,,,,,,,
`},
	} {
		if d := cmp.Diff(tc.want, tc.got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// One row has no mean to take.
func TestOneRow(t *testing.T) {
	if got := Of(rows(t)[:1]); len(got.Rows) != 1 {
		t.Errorf("%v", got.Rows)
	}
}
