package grade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/sampler"
)

// says is a verifier that does as it is told by the text.
func says(ctx context.Context, text, truth string) (sampler.Score, error) {
	switch text {
	case "slow":
		return sampler.Score{Answer: "s"}, fmt.Errorf("pair: %w", sampler.ErrVerifyTimeout)
	case "hang":
		<-ctx.Done()
		return sampler.Score{}, ctx.Err()
	case "broken":
		return sampler.Score{}, errors.New("cannot tell")
	case "gone":
		return sampler.Score{}, errGone
	}
	return equal(ctx, text, truth)
}

var errGone = errors.New("gone")

func TestGrade(t *testing.T) {
	asked := func(said string, err error) Judge {
		return judge(func(_ context.Context, question, truth, response string) (string, error) {
			if question != "q" || truth != "yes" || response == "yes" {
				t.Errorf("the judge was told %q, %q, %q", question, truth, response)
			}
			return said, err
		})
	}
	of := func(change func(*benchmarks.Verdict)) benchmarks.Verdict {
		v := benchmarks.Verdict{ExampleID: 7, Sample: 2, Seed: 5, Truth: "yes", By: benchmarks.ByRule}
		change(&v)
		return v
	}
	byJudge := func(said string, correct bool) func(*benchmarks.Verdict) {
		return func(v *benchmarks.Verdict) { v.By, v.Judgement, v.Correct = benchmarks.ByJudge, said, correct }
	}
	boom := errors.New("boom")
	for _, tc := range []struct {
		name, response string
		judge          Judge
		want           benchmarks.Verdict
		err            error
	}{
		{"right", "yes", asked("", boom), of(func(v *benchmarks.Verdict) { v.Answer, v.Correct = "<yes>", true }), nil},
		{"wrong", "no", nil, of(func(v *benchmarks.Verdict) { v.Answer = "<no>" }), nil},
		{"wrong, and right to the judge", "no", asked("A", nil), of(func(v *benchmarks.Verdict) { v.Answer = "<no>"; byJudge("A", true)(v) }), nil},
		{"wrong, and to the judge", "no", asked("?", nil), of(func(v *benchmarks.Verdict) { v.Answer = "<no>"; byJudge("?", false)(v) }), nil},
		{"took too long", "slow", nil, of(func(v *benchmarks.Verdict) {
			v.Answer, v.Error, v.TimedOut = "s", "pair: verifier took too long", true
		}), nil},
		{"hangs", "hang", nil, of(func(v *benchmarks.Verdict) { v.Error, v.TimedOut = "verifier took too long: over 1s", true }), nil},
		{"took too long, and judged", "hang", asked("A", nil), of(byJudge("A", true)), nil},
		{"no verdict", "broken", nil, of(func(v *benchmarks.Verdict) { v.Error = "cannot tell" }), nil},
		{"no verdict, and judged", "broken", asked("C", nil), of(byJudge("C", false)), nil},
		{"a verifier that is gone", "gone", asked("A", nil), benchmarks.Verdict{}, errGone},
		{"a judge that fails", "no", asked("", boom), benchmarks.Verdict{}, boom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Grader{Verifier: Limit(verify(says), 1, time.Second), Judge: tc.judge, Fatal: func(err error) bool { return errors.Is(err, errGone) }}
				got, err := g.Grade(t.Context(), "q", benchmarks.Generation{ExampleID: 7, Seed: 5, Answer: "yes", Response: tc.response}, 2)
				if !errors.Is(err, tc.err) {
					t.Fatalf("error %v, want %v", err, tc.err)
				}
				if d := cmp.Diff(tc.want, got); err == nil && d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestMaxErrors(t *testing.T) {
	const share = 0.5
	for _, tc := range []struct {
		name      string
		max       float64
		responses []string
		ends      int // after so many answers; 0 never
	}{
		{"all fail", share, []string{"broken"}, fewErrors + 1},
		{"half of them fail", share, []string{"no", "broken"}, 0},
		{"two in three fail", share, []string{"broken", "broken", "no"}, 31}, // 21 of 31
		{"all take too long", share, []string{"slow"}, 0},
		{"no limit", 0, []string{"broken"}, 0},
	} {
		g := &Grader{Verifier: Limit(verify(says), 1, 0), MaxErrors: tc.max}
		ended := 0
		for i := range 200 {
			_, err := g.Grade(t.Context(), "q", benchmarks.Generation{Answer: "yes", Response: tc.responses[i%len(tc.responses)]}, 0)
			if err != nil {
				if ended = i + 1; !strings.Contains(err.Error(), fmt.Sprintf("the verifier failed on %d of %d answers: cannot tell", fewErrors+1, ended)) {
					t.Errorf("%s: %v", tc.name, err)
				}
				break
			}
		}
		if ended != tc.ends {
			t.Errorf("%s: ended after %d answers, want %d", tc.name, ended, tc.ends)
		}
	}
}

// Whoever waits for a place does not use up its time, and can be called off.
func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limit(verify(func(ctx context.Context, text, _ string) (sampler.Score, error) {
			select {
			case <-time.After(900 * time.Millisecond):
				return sampler.Score{Answer: text}, nil
			case <-ctx.Done():
				return sampler.Score{}, ctx.Err()
			}
		}), 0, time.Second)
		if l.Places() != 1 || l.Versions() != nil {
			t.Errorf("%d places, versions %v", l.Places(), l.Versions())
		}
		ends := make(chan error, 3)
		for range cap(ends) {
			go func() {
				_, err := l.Verify(t.Context(), "", "")
				ends <- err
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		time.AfterFunc(time.Millisecond, func() { cancel(stop) })
		if _, err := l.Verify(ctx, "", ""); !errors.Is(err, stop) {
			t.Errorf("called off while it waits: %v", err)
		}
		for range cap(ends) {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
	})
}
