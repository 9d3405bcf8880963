package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// ahead is how many pairs a worker may be ahead of the first that is not graded
// yet: one that takes seconds does not stop the others, and few are in memory.
const ahead = 64

// pair is a line of a pairs file; Response and GroundTruth are pointers so
// that a missing field is not an empty answer.
type pair struct {
	ID          json.RawMessage `json:"id"`
	Response    *string         `json:"response"`
	GroundTruth *string         `json:"ground_truth"`
}

type verdict struct {
	ID          json.RawMessage `json:"id"`
	Response    string          `json:"response"`
	GroundTruth string          `json:"ground_truth"`
	Correct     bool            `json:"correct"`
	Answer      string          `json:"answer"`
	By          string          `json:"by"`
	Score       *float64        `json:"score,omitempty"` // nil without a verdict
	Error       string          `json:"error,omitempty"` // why there is none
	line        int
	timedOut    bool
}

// tally counts verdicts.
type tally struct {
	right, total, failed, timedOut int
	first                          verdict // of those that failed
}

func (t *tally) add(v verdict) {
	t.total++
	if v.Correct {
		t.right++
	}
	if v.Error != "" {
		if t.failed++; t.failed == 1 {
			t.first = v
		}
	}
	if v.timedOut {
		t.timedOut++
	}
}

// String says how many are right, and how many of those that are not nobody knows about.
func (t tally) String() string {
	s := fmt.Sprintf("%d of %d correct (%.2f %%)", t.right, t.total, 100*float64(t.right)/float64(t.total))
	if t.failed > 0 {
		s += fmt.Sprintf(", %d without a verdict", t.failed)
	}
	return s
}

func (r rules) pairs(c *cli.Context) error {
	t, err := r.gradePairs(c.Context, c.String("in"), c.String("out"))
	if err != nil {
		return err
	}
	if said := unscored(t.failed, t.timedOut); said != "" {
		_, _ = fmt.Fprintln(c.App.ErrWriter, said)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s, written to %s\n", t, c.String("out"))
	return err
}

// gradePairs grades several pairs at once and writes them in their order.
func (r rules) gradePairs(ctx context.Context, in, out string) (t tally, err error) {
	err = writeFile(out, func(w io.Writer) error {
		t = tally{}
		group, ctx := errgroup.WithContext(ctx)
		verdicts := make(chan chan verdict, ahead*r.verifier.Places()) // in the pairs' order, each with room for its verdict
		group.Go(func() error {
			defer close(verdicts)
			return eachLine(in, func(n int, p pair) error {
				if p.Response == nil || p.GroundTruth == nil {
					return errors.New("needs the fields response and ground_truth")
				}
				done := make(chan verdict, 1)
				if err := send(ctx, verdicts, done); err != nil {
					return err
				}
				group.Go(func() error {
					v, err := r.gradePair(ctx, n, p)
					if err != nil {
						return err
					}
					done <- v
					return nil
				})
				return nil
			})
		})
		group.Go(func() error {
			enc := jsonLines(w)
			for done := range verdicts {
				select {
				case v := <-done:
					t.add(v)
					if err := enc.Encode(v); err != nil {
						return err
					}
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
		if err := group.Wait(); err != nil {
			return err
		}
		if t.failed == t.total && t.timedOut == 0 { // it cannot grade such pairs at all
			return fmt.Errorf("%s:%d: %s; none of %d pairs has a verdict", in, t.first.line, t.first.Error, t.total)
		}
		return nil
	})
	return t, err
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gradePair fails only when ctx has ended or the verifier is gone.
func (r rules) gradePair(ctx context.Context, line int, p pair) (verdict, error) {
	v := verdict{line: line, ID: p.ID, Response: *p.Response, GroundTruth: *p.GroundTruth, By: r.name}
	score, err := r.verifier.Verify(ctx, v.Response, v.GroundTruth)
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	if isGone(err) {
		return v, err
	}
	v.Answer = score.Answer
	if err != nil {
		v.Error, v.timedOut = err.Error(), errors.Is(err, sampler.ErrVerifyTimeout)
		return v, nil
	}
	v.Correct, v.Score = score.Correct, &score.Reward
	return v, nil
}

// isGone tells that a verifier cannot be reached: no answer has anything to do with that.
func isGone(err error) bool {
	var unreachable *endpoint.UnreachableError
	return errors.As(err, &unreachable)
}
