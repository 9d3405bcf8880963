package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Which answer is compared with which, and what is counted.
func TestCompare(t *testing.T) {
	a := func(problem string, sample int, right bool) journal.Answer {
		return journal.Answer{ProblemID: problem, Sample: sample, Correct: right}
	}
	sampled := func(x journal.Answer) journal.Answer { x.Sampled = true; return x }
	for _, tc := range []struct {
		name          string
		before, after []journal.Answer
		want          comparison
	}{
		{"one answer each, in another order", []journal.Answer{a("x", 0, false), a("y", 0, true)}, []journal.Answer{a("y", 0, false), a("x", 0, true)},
			comparison{problems: 2, answers: 2, counts: [changes]int{becameRight: 1, becameWrong: 1}}},
		{"several answers each", []journal.Answer{a("x", 0, false), a("x", 1, true)}, []journal.Answer{a("x", 0, false), a("x", 1, true)},
			comparison{problems: 1, answers: 2, counts: [changes]int{stayedWrong: 1, stayedRight: 1}}},
		{"a problem that the set holds twice", []journal.Answer{a("x", 0, false), a("x", 0, true)}, []journal.Answer{a("x", 0, true), a("x", 0, true)},
			comparison{problems: 1, answers: 2, counts: [changes]int{becameRight: 1, stayedRight: 1}}},
		{"problems of one side alone", []journal.Answer{a("x", 0, true), a("y", 0, true)}, []journal.Answer{a("x", 0, true), a("z", 0, true), a("w", 0, false)},
			comparison{problems: 1, answers: 1, unmatched: 3, counts: [changes]int{stayedRight: 1}}},
		{"sampled ones do not count beside the others", []journal.Answer{a("x", 0, false), sampled(a("x", 0, true))}, []journal.Answer{sampled(a("x", 0, true)), a("x", 0, true)},
			comparison{problems: 1, answers: 1, counts: [changes]int{becameRight: 1}}},
		{"sampled ones alone", []journal.Answer{sampled(a("x", 0, false))}, []journal.Answer{sampled(a("x", 0, true))},
			comparison{sampled: true, problems: 1, answers: 1, counts: [changes]int{becameRight: 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "eval/step-000000/s.jsonl", lines(t, tc.before))
			write(t, dir, "eval/step-000009/s.jsonl", lines(t, tc.after))
			got, err := compare(dir, "s", 0, 9)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range got.examples {
				if e.before.ProblemID != e.after.ProblemID || e.change != changeOf(e.before.Correct, e.after.Correct) {
					t.Errorf("an example is %+v", e)
				}
			}
			if len(got.examples) == 0 {
				t.Error("no example")
			}
			tc.want.set, tc.want.after, got.examples = "s", 9, nil
			if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(comparison{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The examples are the first of each kind, as many as are shown.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	text := func(bool, int) string { return "" }
	write(t, dir, "eval/step-000000/s.jsonl", lines(t, answers("+-+-+-------+", text)))
	write(t, dir, "eval/step-000002/s.jsonl", lines(t, answers("-+--+--+++++-", text)))
	c, err := compare(dir, "s", 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.examples {
		got = append(got, changeNames[e.change].class+" "+e.after.ProblemID[len("heldout-"):])
	}
	want := []string{"became-right 0001", "became-right 0007", "became-right 0008", "stayed-wrong 0003", "stayed-wrong 0005", "stayed-right 0004", "became-wrong 0000", "became-wrong 0002"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
