package sampler

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestMeanLengths(t *testing.T) {
	var l MeanLengths
	row := func(id string) Row { return Row{Problem: Problem{ID: id}} }
	if got := l.Expect(row("a")); got != 0 {
		t.Errorf("%d tokens expected before anything was seen", got)
	}
	see := func(id string, times, tokens int) {
		for range times {
			l.Observe(row(id), Rollout{TokenIDs: make([]int32, tokens)})
		}
	}
	see("a", 1, 10)
	see("a", 3, 20)
	see("b", 1, 900)
	for id, want := range map[string]int{"a": 18, "b": 900, "c": 194} { // 17.5 and 194
		if got := l.Expect(row(id)); got != want {
			t.Errorf("problem %s: %d, want %d", id, got, want)
		}
	}
	see("a", 500, 400)
	if got := l.Expect(row("a")); got < 395 {
		t.Errorf("%d after 500 answers of 400 tokens: it looks back too far", got)
	}
}

// rowLengths expects the row's ordinal, by a table, and keeps what it is told.
type rowLengths struct {
	mu       sync.Mutex
	expected map[int64]int
	seen     []int64
}

func (l *rowLengths) Expect(row Row) int { return l.expected[row.Ordinal] }

func (l *rowLengths) Observe(row Row, _ Rollout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, row.Ordinal)
}

func TestRowsBeginWithTheLongest(t *testing.T) {
	var begun, expected []int
	l := &rowLengths{expected: map[int64]int{100: 7, 101: 3, 102: 50, 103: 7}}
	known := memory{known: map[int64][]Rollout{103: {{Sample: 0, Score: Score{Reward: 1}}}}}
	s := &Sampler{
		Verifier: verifyFunc(even), Concurrency: 1, Lengths: l,
		Generator: generateFunc(func(ctx context.Context, r Request) ([]Rollout, error) {
			begun, expected = append(begun, int(r.PromptTokenIDs[0])), append(expected, r.Expected)
			return make([]Rollout, 1), nil
		}),
	}
	groups, err := s.Continue(t.Context(), rows(5), smallParams(1), StepSeeds(0, 0), 0, &known)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int{{2, 0, 1, 4}, {50, 7, 3, 0}}, [][]int{begun, expected}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !slices.Equal(l.seen, []int64{103, 102, 100, 101, 104}) {
		t.Errorf("observed %v", l.seen)
	}
	for i, g := range groups {
		if g.Row.Ordinal != int64(100+i) {
			t.Errorf("group %d is row %d", i, g.Row.Ordinal)
		}
	}
}

// A generator with a queue of its own gets all rows at once.
func TestNoBoundOnRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asking gauge
		all := make(chan struct{})
		s := &Sampler{Verifier: verifyFunc(even), Concurrency: -1, VerifyConcurrency: 1, Generator: generateFunc(func(ctx context.Context, r Request) ([]Rollout, error) {
			defer asking.enter()()
			select {
			case <-all:
				return echo(ctx, r)
			case <-ctx.Done():
				return nil, errors.New("cancelled")
			}
		})}
		go func() {
			synctest.Wait()
			close(all)
		}()
		if _, err := s.Sample(t.Context(), rows(1000), smallParams(2), StepSeeds(0, 0), 0); err != nil {
			t.Fatal(err)
		}
		if asking.most != 1000 {
			t.Errorf("at most %d rows at once, want all 1000", asking.most)
		}
	})
}
