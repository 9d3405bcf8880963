package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/benchmarks/perf/update/wire"
)

// steadyResult is resident memory over many updates.
type steadyResult struct {
	Model string  `json:"model"`
	Every int     `json:"every"` // updates between two entries
	RSS   []int64 `json:"rss"`   // bytes
}

const (
	// steadyEvery is the updates between two looks, steadyStep those of a step.
	steadyEvery, steadyStep = 100, 5
	// steadyBound is how far memory may move over the last half, as a share of its median.
	steadyBound = 0.01
)

// steady trains a real policy for many updates, on ever other rollouts, as a
// run would: what an allocator leaves behind shows only over such a time.
func (o options) steady(ctx context.Context, stderr io.Writer) (*steadyResult, error) {
	const perUpdate, batches = 4, 20
	const perStep = perUpdate * steadyStep
	w, err := o.prepare(o.policy, batches*perStep, perUpdate)
	if err != nil {
		return nil, err
	}
	w.packTokens = 2048
	// As long as the policy's own answers.
	short := lengths{median: 30, sigma: 0.9, longest: 96}
	if w, err = w.with(o, makeRollouts(w.problems, w.spec.Vocab, short, o.seed)); err != nil {
		return nil, err
	}
	r, err := o.launch(ctx, ours, w.settings(o), stderr)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	result := &steadyResult{Model: filepath.Base(o.policy), Every: steadyEvery}
	for n := 0; n < o.updates; n += steadyStep {
		from := n / steadyStep % batches * perStep
		if _, err := r.step(wire.Groups{From: from, To: from + perStep}); err != nil {
			return nil, err
		}
		if done := n + steadyStep; done%steadyEvery == 0 {
			m, err := measure.MemoryOf(r.PID())
			if err != nil {
				return nil, err
			}
			result.RSS = append(result.RSS, m.Now)
			fmt.Fprintf(stderr, "update: steady, %d updates: %.1f MB\n", done, float64(m.Now)/1e6)
		}
	}
	return result, nil
}

// wander is the width of the last half of rss as a share of its median. rss is not empty.
func wander(rss []int64) float64 {
	var last []float64
	for _, x := range rss[len(rss)/2:] {
		last = append(last, float64(x))
	}
	s := measure.SpreadOf(last)
	return (s.Max - s.Min) / s.Median
}

func (s *steadyResult) write(out io.Writer) error {
	updates := s.Every * len(s.RSS)
	got := wander(s.RSS)
	_, err := fmt.Fprintf(out, "\n%s, %d updates: %.1f to %.1f MB resident, over the last %d within %.2f %%, bound ≤ %g %%: %s\n",
		s.Model, updates, float64(slices.Min(s.RSS))/1e6, float64(slices.Max(s.RSS))/1e6, updates-s.Every*(len(s.RSS)/2), 100*got, 100*steadyBound, verdict(got <= steadyBound))
	return err
}
