package sampler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory is a Ledger in memory.
type memory struct {
	mu    sync.Mutex
	known map[int64][]Rollout
	added map[string]int
	fail  error
}

func (m *memory) Known(row Row) ([]Rollout, error) { return m.known[row.Ordinal], nil }
func (m *memory) Add(row Row, r Rollout) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.added == nil {
		m.added = map[string]int{}
	}
	m.added[fmt.Sprintf("%d/%d", row.Ordinal, r.Sample)]++
	return m.fail
}

// streams answers at once with the stream of each sample, whatever part of a row is asked for.
func streams(_ context.Context, r Request) ([]Rollout, error) {
	out := make([]Rollout, r.Count)
	for j := range out {
		i := r.First + j
		out[j] = Rollout{Sample: i, TokenIDs: []int32{int32(i)}, Text: fmt.Sprintf("%d/%d", r.Seed, i), FinishReason: FinishStop}
	}
	return out, nil
}

// Only what is missing is asked for, in one request for each run of samples,
// and what was known comes back as it was.
func TestContinueAsksForWhatIsMissing(t *testing.T) {
	old := func(samples ...int) (known []Rollout) {
		for _, j := range samples {
			known = append(known, Rollout{Sample: j, TokenIDs: []int32{9}, Text: "old", WeightsVersion: 3, Score: Score{Reward: 0.5, Answer: "x"}})
		}
		return known
	}
	for _, c := range []struct {
		name  string
		known []Rollout
		want  []string // first+count
	}{
		{"nothing known", nil, []string{"0+5"}},
		{"all known", old(4, 3, 2, 1, 0), nil},
		{"the first", old(0), []string{"1+4"}},
		{"the last", old(4), []string{"0+4"}},
		{"two gaps, known in another order", old(4, 1), []string{"0+1", "2+2"}},
		{"every other", old(1, 3), []string{"0+1", "2+1", "4+1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			told := 0
			s := &Sampler{
				Generator: generateFunc(func(ctx context.Context, r Request) ([]Rollout, error) {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, fmt.Sprintf("%d+%d", r.First, r.Count))
					return streams(ctx, r)
				}),
				Verifier: verifyFunc(even), OnRollout: func(Row, Rollout, error) { told++ },
			}
			row := rows(1)[0]
			m := &memory{known: map[int64][]Rollout{row.Ordinal: c.known}}
			groups, err := s.Continue(t.Context(), []Row{row}, smallParams(5), StepSeeds(5, 9), 12, m)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(asked)
			if d := cmp.Diff(c.want, asked); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
			want, err := s.Sample(t.Context(), []Row{row}, smallParams(5), StepSeeds(5, 9), 12)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range c.known {
				want[0].Rollouts[k.Sample] = k
			}
			if d := cmp.Diff(want, groups); d != "" {
				t.Errorf("groups (-want +got):\n%s", d)
			}
			if len(m.added) != 5-len(c.known) || told != 10 {
				t.Errorf("%d rollouts added, %d told of; want %d and 10", len(m.added), told, 5-len(c.known))
			}
		})
	}
}

func TestContinueRefusesAConfusedLedger(t *testing.T) {
	s := &Sampler{Generator: generateFunc(streams), Verifier: verifyFunc(even)}
	for name, known := range map[string][]Rollout{
		"twice":      {{Sample: 1}, {Sample: 1}},
		"beyond n":   {{Sample: 2}},
		"before all": {{Sample: -1}},
	} {
		m := &memory{known: map[int64][]Rollout{100: known}}
		if _, err := s.Continue(t.Context(), rows(1), smallParams(2), StepSeeds(0, 0), 0, m); err == nil || !strings.Contains(err.Error(), "row 100") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A rollout that cannot be kept does not count, and ends the batch.
func TestContinueEndsWithItsLedger(t *testing.T) {
	full := errors.New("no space left on device")
	told := 0
	s := &Sampler{Generator: generateFunc(streams), Verifier: verifyFunc(even), OnRollout: func(Row, Rollout, error) { told++ }}
	if groups, err := s.Continue(t.Context(), rows(3), smallParams(2), StepSeeds(0, 0), 0, &memory{fail: full}); !errors.Is(err, full) || groups != nil {
		t.Errorf("got %v, %v", groups, err)
	}
	if told != 0 {
		t.Errorf("told of %d rollouts that are nowhere", told)
	}
}

// What the verifier failed on is not kept; what was finished when the batch broke off is.
func TestLedgerHoldsWhatIsFinished(t *testing.T) {
	sick := errors.New("sympy crashed")
	ctx, cancel := context.WithCancel(t.Context())
	m := &memory{}
	s := &Sampler{
		Generator: generateFunc(streams), MaxUnscored: 0.5, Concurrency: 1, VerifyConcurrency: 1,
		Verifier: verifyFunc(func(ctx context.Context, text, truth string) (Score, error) {
			switch {
			case strings.HasSuffix(text, "/1"):
				return Score{}, sick
			case strings.HasSuffix(text, "/3"):
				cancel() // the row is finished, the batch is not
			}
			return even(ctx, text, truth)
		}),
	}
	if _, err := s.Continue(ctx, rows(4), smallParams(5), StepSeeds(0, 0), 0, m); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for j, want := range []int{1, 0, 1, 1, 1} {
		if got := m.added[fmt.Sprintf("100/%d", j)]; got != want {
			t.Errorf("sample %d of the first row was added %d times, want %d", j, got, want)
		}
	}
	if m.added["103/0"] != 0 {
		t.Error("the batch went on to the last row")
	}
}

func TestGeneratorMustAnswerWhatItWasAsked(t *testing.T) {
	s := &Sampler{Verifier: verifyFunc(even), Generator: generateFunc(func(context.Context, Request) ([]Rollout, error) {
		return []Rollout{{Sample: 1}, {Sample: 0}}, nil
	})}
	if _, err := s.Sample(t.Context(), rows(1), smallParams(2), StepSeeds(0, 0), 0); err == nil || !strings.Contains(err.Error(), "sample 1 in the place of sample 0") {
		t.Errorf("error %v", err)
	}
}
