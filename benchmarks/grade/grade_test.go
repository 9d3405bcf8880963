package grade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/sampler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type verify func(ctx context.Context, text, truth string) (sampler.Score, error)

func (v verify) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	return v(ctx, text, truth)
}

type judge func(ctx context.Context, question, truth, response string) (string, error)

func (j judge) Judge(ctx context.Context, question, truth, response string) (string, error) {
	return j(ctx, question, truth, response)
}

// equal accepts the truth itself.
func equal(_ context.Context, text, truth string) (sampler.Score, error) {
	return sampler.Score{Correct: text == truth, Answer: "<" + text + ">"}, nil
}

// index writes generations of problems in turn, each with the truth "yes".
func index(t *testing.T, problems int, responses ...string) *generations.Index {
	t.Helper()
	var b strings.Builder
	for i, r := range responses {
		fmt.Fprintf(&b, `{"example_id":%d,"prompt":"q%d","answer":"yes","seed":%d,"response":%q}`+"\n", i%problems, i%problems, i/problems, r)
	}
	path := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	x, err := generations.OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func TestFile(t *testing.T) {
	x := index(t, 2, "yes", "a b c d", "no boxed", "yes", "maybe", "yes")
	var asked, done atomic.Int64
	got, err := File(t.Context(), x, Options{
		Grader: &Grader{Verifier: Limit(verify(func(ctx context.Context, text, truth string) (sampler.Score, error) {
			if text == "maybe" {
				return sampler.Score{}, errors.New("cannot tell")
			}
			return equal(ctx, text, truth)
		}), 2, 0), Judge: judge(func(_ context.Context, question, truth, response string) (string, error) {
			asked.Add(1)
			if truth != "yes" || question != "asked q0" && question != "asked q1" {
				t.Errorf("the judge was told %q and %q", question, truth)
			}
			if response == "maybe" {
				return "A", nil
			}
			return "C", nil
		})},
		AtOnce:   4,
		Question: func(g benchmarks.Generation) string { return "asked " + g.Prompt },
		Tokens:   func(response string) int { return len(response) },
		Done:     func(benchmarks.Verdict) { done.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []benchmarks.Verdict{
		{ExampleID: 0, Sample: 0, Seed: 0, Answer: "<yes>", Truth: "yes", Correct: true, By: "rule"},
		{ExampleID: 1, Sample: 0, Seed: 0, Answer: "<a b c d>", Truth: "yes", By: "judge", Judgement: "C"},
		{ExampleID: 0, Sample: 1, Seed: 1, Answer: "<no boxed>", Truth: "yes", By: "judge", Judgement: "C"},
		{ExampleID: 1, Sample: 1, Seed: 1, Answer: "<yes>", Truth: "yes", Correct: true, By: "rule"},
		{ExampleID: 0, Sample: 2, Seed: 2, Answer: "", Truth: "yes", Correct: true, By: "judge", Judgement: "A"},
		{ExampleID: 1, Sample: 2, Seed: 2, Answer: "<yes>", Truth: "yes", Correct: true, By: "rule"},
	}
	if d := cmp.Diff(want, got.Verdicts); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{1, 2, 3, 4, 5, 6}, got.Lines); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if asked.Load() != 3 || done.Load() != 6 {
		t.Errorf("the judge was asked %d times, want 3; %d verdicts were told, want 6", asked.Load(), done.Load())
	}
	p := got.Problems
	if len(p) != 2 || p[0].ID != 0 || p[1].ID != 1 || p[0].Distinct4 != 0 || p[1].Distinct4 != 1 {
		t.Errorf("%+v", p)
	}
	if a := p[0].Answers; a[0].Tokens != 3 || a[1].Boxed != true || a[2].Correct != true || a[2].Failed || a[1].Vote != "<noboxed>" {
		t.Errorf("%+v", a)
	}
}

// However slow a verifier is on one answer, others go on, each in its own time,
// and there are never more at once than workers.
func TestTimeoutsAreNotWrongAnswers(t *testing.T) {
	x := index(t, 3, "yes", "slow", "yes", "slow", "hang", "yes", "yes", "yes", "no")
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		got, err := File(t.Context(), x, Options{AtOnce: 4, Grader: &Grader{Verifier: Limit(verify(func(ctx context.Context, text, truth string) (sampler.Score, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			switch text {
			case "slow":
				time.Sleep(900 * time.Millisecond)
			case "hang":
				<-ctx.Done()
				return sampler.Score{}, ctx.Err()
			}
			return equal(ctx, text, truth)
		}), 2, time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		var failed []int
		for i, v := range got.Verdicts {
			if v.Error != "" {
				failed = append(failed, i)
				if v.Correct || !strings.Contains(v.Error, "took too long: over 1s") {
					t.Errorf("%+v", v)
				}
			}
		}
		if d := cmp.Diff([]int{4}, failed); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if a := got.Problems[1].Answers[1]; !a.Failed || !a.TimedOut || a.Correct {
			t.Errorf("%+v", a)
		}
		if most.Load() > 2 {
			t.Errorf("%d at once, want 2", most.Load())
		}
	})
}

func TestFileFails(t *testing.T) {
	boom := errors.New("boom")
	for name, g := range map[string]*Grader{
		"the judge": {Verifier: Limit(verify(equal), 1, 0), Judge: judge(func(context.Context, string, string, string) (string, error) { return "", boom })},
		"the verifier, for good": {Fatal: func(err error) bool { return errors.Is(err, boom) }, Verifier: Limit(verify(func(context.Context, string, string) (sampler.Score, error) {
			return sampler.Score{}, boom
		}), 1, 0)},
	} {
		if got, err := File(t.Context(), index(t, 2, "no", "no", "no", "no"), Options{Grader: g}); !errors.Is(err, boom) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := File(ctx, index(t, 2, "no", "no", "no", "no"), Options{Grader: &Grader{Verifier: Limit(verify(func(ctx context.Context, _, _ string) (sampler.Score, error) {
		cancel()
		<-ctx.Done()
		return sampler.Score{}, ctx.Err()
	}), 1, 0)}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestLongAnswersAreCut(t *testing.T) {
	got, err := File(t.Context(), index(t, 1, strings.Repeat("é", maxAnswer)), Options{Grader: &Grader{Verifier: Limit(verify(equal), 1, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	if a := got.Verdicts[0].Answer; len(a) > maxAnswer+len("…") || !strings.HasSuffix(a, "é…") {
		t.Errorf("%d bytes, %q", len(a), a[len(a)-10:])
	}
}

// A verifier's answer is a part of the response, and must not keep it in memory.
func TestVerdictsDoNotHoldResponses(t *testing.T) {
	const n, size = 100, 200_000
	x := index(t, 10, slices.Repeat([]string{strings.Repeat("x ", size/2) + "42"}, n)...)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	got, err := File(t.Context(), x, Options{AtOnce: 4, Grader: &Grader{Verifier: Limit(verify(func(_ context.Context, text, _ string) (sampler.Score, error) {
		return sampler.Score{Answer: text[len(text)-2:]}, nil
	}), 2, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	if grown := heap() - before; grown > n*size/4 {
		t.Errorf("%d bytes more are in use than before, of responses with %d", grown, n*size)
	}
	if got.Verdicts[n-1].Answer != "42" {
		t.Errorf("%+v", got.Verdicts[n-1])
	}
	runtime.KeepAlive(got)
}
