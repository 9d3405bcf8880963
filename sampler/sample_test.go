package sampler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// generateFunc and verifyFunc are a Generator and a Verifier made of a function.
type (
	generateFunc func(context.Context, Request) ([]Rollout, error)
	verifyFunc   func(ctx context.Context, text, truth string) (Score, error)
)

func (f generateFunc) Generate(ctx context.Context, r Request) ([]Rollout, error) { return f(ctx, r) }
func (f verifyFunc) Verify(ctx context.Context, text, truth string) (Score, error) {
	return f(ctx, text, truth)
}

// echo answers with the prompt and the seed, after a random time.
func echo(ctx context.Context, r Request) ([]Rollout, error) {
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(time.Second)))):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out := make([]Rollout, r.Count)
	for j := range out {
		out[j] = Rollout{
			Sample: r.First + j, TokenIDs: []int32{r.PromptTokenIDs[0], int32(j)},
			Text: fmt.Sprintf("%d/%d/%d", r.PromptTokenIDs[0], r.Seed, j), FinishReason: FinishStop,
		}
	}
	return out, nil
}

// even accepts the samples of even index.
func even(_ context.Context, text, truth string) (Score, error) {
	if strings.HasSuffix(text, "/0") || strings.HasSuffix(text, "/2") {
		return Score{Reward: 1, Correct: true, Answer: truth}, nil
	}
	return Score{Reward: -1}, nil
}

func rows(n int) []Row {
	out := make([]Row, n)
	for i := range out {
		out[i] = Row{Ordinal: int64(100 + i), Problem: Problem{ID: fmt.Sprintf("p%d", i%3), Answer: fmt.Sprint(i)}, PromptTokenIDs: []int32{int32(i)}}
	}
	return out
}

func smallParams(n int) Params {
	p := goodParams()
	p.N = n
	return p
}

func TestSampleKeepsTheOrderOfRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := rows(40)
		seed := StepSeeds(5, 9)
		var told atomic.Int32
		s := &Sampler{
			Generator: generateFunc(echo), Verifier: verifyFunc(even), Concurrency: 7,
			OnRollout: func(row Row, r Rollout, err error) {
				if err != nil || r.Score.Reward == 0 || !strings.HasPrefix(r.Text, fmt.Sprint(row.PromptTokenIDs[0], "/")) {
					t.Errorf("told of %+v of row %d, %v", r, row.Ordinal, err)
				}
				told.Add(1)
			},
		}
		got, err := s.Sample(t.Context(), in, smallParams(4), seed, 12)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]Group, len(in))
		for i, row := range in {
			want[i].Row = row
			for j := range 4 {
				r := Rollout{
					Sample: j, TokenIDs: []int32{int32(i), int32(j)}, Text: fmt.Sprintf("%d/%d/%d", i, RowSeed(5, 9, row.Ordinal), j),
					FinishReason: FinishStop, WeightsVersion: 12, Score: Score{Reward: -1},
				}
				if j%2 == 0 {
					r.Score = Score{Reward: 1, Correct: true, Answer: row.Problem.Answer}
				}
				want[i].Rollouts = append(want[i].Rollouts, r)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if told.Load() != 160 {
			t.Errorf("told of %d rollouts, want 160", told.Load())
		}
	})
}

func TestSampleNoRows(t *testing.T) {
	got, err := (&Sampler{}).Sample(t.Context(), nil, smallParams(1), StepSeeds(0, 0), 0)
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// gauge measures how many are inside at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) enter() func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
	return func() { g.mu.Lock(); g.now--; g.mu.Unlock() }
}

func TestSampleBoundsWhatRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asking, verifying gauge
		s := &Sampler{
			Generator: generateFunc(func(ctx context.Context, r Request) ([]Rollout, error) {
				defer asking.enter()()
				return echo(ctx, r)
			}),
			Verifier: verifyFunc(func(ctx context.Context, text, truth string) (Score, error) {
				defer verifying.enter()()
				time.Sleep(time.Second)
				return even(ctx, text, truth)
			}),
			Concurrency: 5, VerifyConcurrency: 3,
		}
		if _, err := s.Sample(t.Context(), rows(30), smallParams(4), StepSeeds(0, 0), 0); err != nil {
			t.Fatal(err)
		}
		if asking.most != 5 || verifying.most != 3 {
			t.Errorf("at most %d requests and %d verifications at once, want 5 and 3", asking.most, verifying.most)
		}
	})
}

func TestSampleFailureEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the server is broken")
		var ended atomic.Int32
		s := &Sampler{Verifier: verifyFunc(even), Concurrency: 8, Generator: generateFunc(func(ctx context.Context, r Request) ([]Rollout, error) {
			if r.PromptTokenIDs[0] == 3 {
				time.Sleep(time.Second)
				return nil, broken
			}
			<-ctx.Done() // a long generation
			ended.Add(1)
			return nil, context.Cause(ctx)
		})}
		got, err := s.Sample(t.Context(), rows(20), smallParams(2), StepSeeds(0, 0), 0)
		if got != nil || !errors.Is(err, broken) || !strings.Contains(err.Error(), "row 103 (problem p0)") {
			t.Errorf("got %v, %v; want the failure, with its row", got, err)
		}
		if ended.Load() != 7 {
			t.Errorf("%d other requests ended, want the 7 under way, and no new ones", ended.Load())
		}
	})
}

func TestSampleEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("ctrl-c")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(why) })
		s := &Sampler{Verifier: verifyFunc(even), Generator: generateFunc(func(ctx context.Context, _ Request) ([]Rollout, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})}
		if got, err := s.Sample(ctx, rows(3), smallParams(1), StepSeeds(0, 0), 0); got != nil || !errors.Is(err, why) {
			t.Errorf("got %v, %v; want the context's cause", got, err)
		}
	})
}

func TestSampleRefuses(t *testing.T) {
	short := generateFunc(func(context.Context, Request) ([]Rollout, error) { return make([]Rollout, 1), nil })
	for _, c := range []struct {
		name string
		rows []Row
		p    Params
		want string
	}{
		{"bad parameters", rows(1), Params{}, "sampling parameters: n: 0"},
		{"an empty prompt", []Row{{Ordinal: 4}}, smallParams(2), "row 4 (problem ): prompt: empty"},
		{"a generator that gives too few", rows(1), smallParams(2), "returned 1 rollouts of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Sampler{Generator: short, Verifier: verifyFunc(even)}
			if _, err := s.Sample(t.Context(), c.rows, c.p, StepSeeds(0, 0), 0); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestVerifierFailuresAreNotWrongAnswers(t *testing.T) {
	sick := errors.New("sympy crashed")
	// flaky fails on the texts of bad samples the first so many times.
	flaky := func(bad func(text string) bool, times int) verifyFunc {
		var mu sync.Mutex
		failed := map[string]int{}
		return func(ctx context.Context, text, truth string) (Score, error) {
			mu.Lock()
			defer mu.Unlock()
			if bad(text) && failed[text] < times {
				failed[text]++
				return Score{Reward: -1}, sick
			}
			return even(ctx, text, truth)
		}
	}
	second := func(text string) bool { return strings.HasSuffix(text, "/1") }
	hang := verifyFunc(func(ctx context.Context, text, truth string) (Score, error) {
		if text == "2/0/1" {
			<-ctx.Done()
			return Score{}, ctx.Err()
		}
		return even(ctx, text, truth)
	})
	for _, c := range []struct {
		name        string
		verifier    Verifier
		maxUnscored float64
		unscored    int // rollouts reported and left out
		wantErr     string
	}{
		{"a failure that passes is tried again", flaky(second, 2), 0, 0, ""},
		{"a failure that stays ends the step", flaky(second, 3), 0, 1, "sympy crashed"},
		{"within the limit it is left out", flaky(second, 3), 0.25, 10, ""},
		{"over the limit the step ends", flaky(second, 3), 0.2, 9, "verifier failed on 9 of the step's 40 rollouts"},
		{"a verifier that hangs is a failure", hang, 0, 1, "(errors 0, time-outs 1), over the limit; the last is row 102 (problem p2) sample 1: verifier took too long: over 30s"},
		{"a verifier that hangs, within the limit", hang, 0.1, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				unscored := 0
				s := &Sampler{
					Generator: generateFunc(echo), Verifier: c.verifier, MaxUnscored: c.maxUnscored, Concurrency: 1, VerifyConcurrency: 1,
					OnRollout: func(_ Row, r Rollout, err error) {
						if err != nil {
							unscored++
							if r.Score != (Score{}) {
								t.Errorf("a rollout that could not be verified has the score %+v", r.Score)
							}
						}
					},
				}
				zero := func(Row) int64 { return 0 }
				groups, err := s.Sample(t.Context(), rows(10), smallParams(4), zero, 0)
				if (err == nil) != (c.wantErr == "") || (err != nil && !strings.Contains(err.Error(), c.wantErr)) {
					t.Fatalf("error %v, want %q", err, c.wantErr)
				}
				if err != nil {
					var un *UnscoredError
					if !errors.As(err, &un) || un.Rollouts != 40 {
						t.Errorf("error %#v, want an UnscoredError of 40 rollouts", err)
					}
				}
				if unscored != c.unscored {
					t.Errorf("told of %d failures, want %d", unscored, c.unscored)
				}
				left := 0
				for _, g := range groups {
					left += len(g.Rollouts)
					if !slices.IsSortedFunc(g.Rollouts, func(a, b Rollout) int { return a.Sample - b.Sample }) {
						t.Errorf("group %d is out of order", g.Row.Ordinal)
					}
				}
				if err == nil && left != 40-c.unscored {
					t.Errorf("%d rollouts left, want %d", left, 40-c.unscored)
				}
			})
		})
	}
}

// A pair that took too long would again; one that failed may not. Both are
// counted with their group, apart.
func TestErrorsAndTimeoutsAreDifferentThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		s := &Sampler{
			Generator: generateFunc(echo), MaxUnscored: 0.5,
			Verifier: verifyFunc(func(ctx context.Context, text, truth string) (Score, error) {
				mu.Lock()
				asked[text]++
				mu.Unlock()
				switch text {
				case "1/0/0", "1/0/3":
					return Score{}, errors.New("sick")
				case "1/0/1":
					return Score{}, fmt.Errorf("pair 7: %w", ErrVerifyTimeout) // a limit of its own
				case "2/0/2":
					<-ctx.Done()
					return Score{}, errors.New("killed")
				}
				return even(ctx, text, truth)
			}),
		}
		groups, err := s.Sample(t.Context(), rows(3), smallParams(4), func(Row) int64 { return 0 }, 0)
		if err != nil {
			t.Fatal(err)
		}
		type counts struct{ left, errors, timeouts int }
		var got []counts
		for _, g := range groups {
			got = append(got, counts{len(g.Rollouts), g.Errors, g.Timeouts})
		}
		if d := cmp.Diff([]counts{{4, 0, 0}, {1, 2, 1}, {3, 0, 1}}, got, cmp.AllowUnexported(counts{})); d != "" {
			t.Errorf("groups (-want +got):\n%s", d)
		}
		for text, want := range map[string]int{"0/0/0": 1, "1/0/0": 3, "1/0/1": 1, "2/0/2": 1} {
			if asked[text] != want {
				t.Errorf("%s was verified %d times, want %d", text, asked[text], want)
			}
		}
	})
}
