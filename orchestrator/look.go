package orchestrator

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/monitor"
	"github.com/justrl/justrl/sampler"
)

// lookLimit bounds each of the comparisons and scorings that are made for the
// monitor alone. What it cuts off is counted as an error, not as a change.
const lookLimit = time.Minute

// look fills in what the record says for the monitor: what the answers look
// like, how another verifier judges a sample of them, how the kept ones score.
// Where ctx ends it returns at once, and what it has filled in is not to be used.
func (r *Run) look(ctx context.Context, rec *journal.Step, groups []sampler.Group) error {
	texts := monitor.Describe(groups)
	rec.Texts = &texts
	m := r.Config.Monitor
	if due(m.CompareEvery, rec.Step) && r.Other != nil && !r.Config.Reward.ShuffleControl {
		rec.Compared = r.compared(ctx, rec.Step, groups)
	}
	if m.RescoreEvery == 0 || r.Verifier == nil {
		return nil
	}
	if r.fixed == nil {
		if err := r.fix(ctx, rec.Step, groups); err != nil {
			return err
		}
	}
	if due(m.RescoreEvery, rec.Step) && len(r.fixed) > 0 {
		again := r.rescored(ctx)
		rec.Rescored = &again
	}
	return nil
}

func due(every, step int) bool { return every > 0 && (step+1)%every == 0 }

// pair is an answer with its ground truth.
type pair struct{ text, truth string }

// verified scores pairs, at most as many at a time as there are CPUs; nil for one
// that could not be scored in time.
func verified(ctx context.Context, v sampler.Verifier, pairs []pair) []*sampler.Score {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	scores := make([]*sampler.Score, len(pairs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range pairs {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if s, err := v.Verify(ctx, p.text, p.truth); err == nil {
				scores[i] = &s
			}
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	return scores
}

// sampled are n rollouts of a step, or all, a fixed function of seed and step.
func sampled(groups []sampler.Group, seed int64, step, n int) (rollouts []sampler.Rollout, pairs []pair, problems []string) {
	type one struct {
		group int
		sampler.Rollout
	}
	var all []one
	for i, g := range groups {
		for _, o := range g.Rollouts {
			all = append(all, one{i, o})
		}
	}
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(step)+1<<32)) // no stream of shuffleRewards
	for _, i := range rng.Perm(len(all))[:min(n, len(all))] {
		problem := groups[all[i].group].Row.Problem
		rollouts = append(rollouts, all[i].Rollout)
		pairs = append(pairs, pair{all[i].Text, problem.Answer})
		problems = append(problems, problem.ID)
	}
	return rollouts, pairs, problems
}

func (r *Run) compared(ctx context.Context, step int, groups []sampler.Group) *journal.Compared {
	rollouts, pairs, _ := sampled(groups, r.Config.Seed, step, r.Config.Monitor.CompareSample)
	var c journal.Compared
	for i, s := range verified(ctx, r.Other, pairs) {
		switch {
		case s == nil:
			c.CompareErrors++
			continue
		case rollouts[i].Score.Correct && !s.Correct:
			c.OnlyTraining++
		case !rollouts[i].Score.Correct && s.Correct:
			c.OnlyOther++
		}
		c.Judged++
	}
	return &c
}

// fix keeps answers of a step to be scored again, if none are kept yet. Those
// that do not score the same twice in a row are left out: their verifier is no
// function, and would be taken for one that has changed.
func (r *Run) fix(ctx context.Context, step int, groups []sampler.Group) error {
	_, pairs, problems := sampled(groups, r.Config.Seed, step, r.Config.Monitor.RescoreSample)
	first, second := verified(ctx, r.Verifier, pairs), verified(ctx, r.Verifier, pairs)
	if err := ctx.Err(); err != nil { // what is kept is kept for good
		return err
	}
	r.fixed = []journal.Fixed{}
	for i, p := range pairs {
		if a, b := first[i], second[i]; a != nil && b != nil && a.Reward == b.Reward && a.Correct == b.Correct {
			r.fixed = append(r.fixed, journal.Fixed{ProblemID: problems[i], GroundTruth: p.truth, Text: p.text, Reward: a.Reward, Correct: a.Correct})
		}
	}
	if len(r.fixed) == 0 {
		return nil
	}
	return r.Journal.WriteFixed(r.fixed)
}

// rescored scores the kept answers again.
func (r *Run) rescored(ctx context.Context) journal.Rescored {
	pairs := make([]pair, len(r.fixed))
	for i, a := range r.fixed {
		pairs[i] = pair{a.Text, a.GroundTruth}
	}
	var out journal.Rescored
	for i, s := range verified(ctx, r.Verifier, pairs) {
		switch a := r.fixed[i]; {
		case s == nil:
			out.RescoreErrors++
			continue
		case s.Reward != a.Reward || s.Correct != a.Correct:
			out.Changed++
		}
		out.Rescored++
	}
	return out
}

// rescoreKept scores the answers that an earlier process kept, before anything
// is trained on what may be another reward.
func (r *Run) rescoreKept(ctx context.Context) error {
	if r.Config.Monitor.RescoreEvery == 0 || r.Verifier == nil {
		return nil
	}
	kept, err := r.Journal.ReadFixed()
	if err != nil || len(kept) == 0 {
		return err
	}
	r.fixed = kept
	return errors.Join(r.notice(r.monitor.Rescored(r.progress.NextStep-1, r.rescored(ctx))), r.halted())
}
