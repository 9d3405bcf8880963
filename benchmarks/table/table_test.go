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
		out = append(out, Row{Name: []string{"aime|24", "é"}[i], Results: r})
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

// Of several models each has a mean, and published scores stand beside them.
func TestModels(t *testing.T) {
	all := rows(t)
	published := 0.526
	all[0].Model, all[1].Model = "ours", "ours"
	all = append(all, Row{Name: "aime|24", Model: "theirs", Published: &published}, Row{Name: "é", Model: "third", Results: all[1].Results})
	var text strings.Builder
	if err := Of(all).Text(&text); err != nil {
		t.Fatal(err)
	}
	want := `set      model   problems    n  avg@n %          95 %  pass@n %  maj@n %  none  all  4-gram  tokens  cut %  no box  by rule  by judge  errors
aime|24  ours           2  1-2    75.00  50.00-100.00     75.00    75.00     0    1   0.250      10  50.00       2        1         1       0
é        ours           1    1     0.00     0.00-0.00      0.00     0.00     1    0   0.000       -      -       1        0         0       1
aime|24  theirs                   52.60
é        third          1    1     0.00     0.00-0.00      0.00     0.00     1    0   0.000       -      -       1        0         0       1
mean     ours                     37.50
`
	if d := cmp.Diff(want, text.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
