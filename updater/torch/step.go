//go:build torch

package torch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/grpo"
)

// sample is a rollout on its way through a step.
type sample struct {
	sequence
	group     int64     // its ordinal
	index     int       // in the group
	server    []float32 // the server's log-probs of rest, or nil
	own       []float32 // the trainer's of the first pass over it, as many as are known: by the weights before the first update where they are the old ones
	reference []float32 // the reference model's; nil until they are known, or if there is none
	advantage float64
}

// Step implements updater.Updater.
//
// The trainer's own log-probs of the first mini-batch come from the forward
// pass that trains it (the weights are still the step's first); only the rest
// of the batch needs a pass of its own, and with the server's log-probs as the
// old ones not even that: the mismatch is then measured on the first
// mini-batch alone.
func (t *Trainer) Step(ctx context.Context, step int, groups []updater.Group, gate func(updater.Mismatch) error) (updater.StepResult, error) {
	var result updater.StepResult
	batch, err := t.batch(groups)
	if err != nil {
		return result, err
	}
	err = t.do(func() error {
		miniBatches := slices.Collect(slices.Chunk(batch, t.opt.Update.MiniBatch))
		if t.opt.Update.OldLogprobs == updater.OldLogprobsRecompute {
			if err := t.recompute(ctx, slices.Concat(slices.Concat(miniBatches[1:]...)...)); err != nil {
				return err
			}
		}
		lr := t.opt.Optimizer.LearningRate(step)
		ready := func() error { // the first gradient is there, and no weight has changed
			result.Mismatch = mismatch(slices.Concat(batch...))
			if gate == nil {
				return nil
			}
			return gate(result.Mismatch)
		}
		for range t.opt.Update.Epochs {
			for _, mini := range miniBatches {
				m, err := t.update(ctx, slices.Concat(mini...), lr, ready)
				if err != nil {
					return fmt.Errorf("step %d, update %d: %w", step, len(result.Updates), err)
				}
				result.Updates = append(result.Updates, m)
				ready = nil
			}
		}
		return nil
	})
	return result, err
}

// batch checks the groups and turns each, in the order of the ordinals, into samples.
func (t *Trainer) batch(groups []updater.Group) ([][]*sample, error) {
	if len(groups) == 0 {
		return nil, fmt.Errorf("torch: a step without groups")
	}
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(a, b updater.Group) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	batch := make([][]*sample, len(groups))
	for i, g := range groups {
		if i > 0 && g.Ordinal == groups[i-1].Ordinal {
			return nil, fmt.Errorf("torch: two groups have the ordinal %d", g.Ordinal)
		}
		if len(g.Rollouts) == 0 {
			return nil, fmt.Errorf("torch: group %d has no rollouts", g.Ordinal)
		}
		rewards := make([]float64, len(g.Rollouts))
		for j, r := range g.Rollouts {
			if !finite(r.Reward) {
				return nil, fmt.Errorf("torch: group %d, rollout %d: the reward is %g", g.Ordinal, j, r.Reward)
			}
			rewards[j] = r.Reward
		}
		advantages := grpo.Advantages(rewards, t.opt.Update.AdvantageStd)
		for j, r := range g.Rollouts {
			if err := t.checkRollout(r); err != nil {
				return nil, fmt.Errorf("group %d, rollout %d: %w", g.Ordinal, j, err)
			}
			batch[i] = append(batch[i], &sample{
				sequence: sequence{r.PromptTokenIDs, r.TokenIDs}, group: g.Ordinal, index: j, server: r.Logprobs, advantage: advantages[j]})
		}
	}
	return batch, nil
}

func (t *Trainer) checkRollout(r updater.Rollout) error {
	switch {
	case len(r.PromptTokenIDs) == 0:
		return fmt.Errorf("torch: the prompt is empty")
	case len(r.TokenIDs) == 0:
		return fmt.Errorf("torch: the response is empty")
	case r.Logprobs != nil && len(r.Logprobs) != len(r.TokenIDs):
		return fmt.Errorf("torch: %d log-probs for %d response tokens", len(r.Logprobs), len(r.TokenIDs))
	case r.Logprobs == nil && t.opt.Update.OldLogprobs == updater.OldLogprobsServer:
		return fmt.Errorf("torch: no log-probs, and update.old_logprobs is %s", updater.OldLogprobsServer)
	case r.Logprobs == nil && t.opt.Update.TISCap > 0:
		return fmt.Errorf("torch: no log-probs, and update.tis_cap is %g: it weighs the trainer's against the server's", t.opt.Update.TISCap)
	}
	if err := t.checkIDs(r.PromptTokenIDs, "prompt"); err != nil {
		return err
	}
	return t.checkIDs(r.TokenIDs, "response")
}

// recompute fills in the own log-probs of samples.
func (t *Trainer) recompute(ctx context.Context, samples []*sample) error {
	got, err := t.score(ctx, sequences(samples), t.opt.Update.Temperature)
	if err != nil {
		return fmt.Errorf("old log-probs: %w", byRollout(err, samples))
	}
	for i, s := range samples {
		s.own = got[i].Logprobs
	}
	return nil
}

// update is one optimizer update on a mini-batch; ready, unless it is nil, may
// still call it off when the gradient is there.
func (t *Trainer) update(ctx context.Context, mini []*sample, lr float64, ready func() error) (updater.UpdateMetrics, error) {
	defer t.net.dropGrads(t.counter)
	rows := microBatches(mini, t.opt.Update)
	metrics, err := t.gradient(ctx, mini, rows)
	if err != nil {
		return metrics, err
	}
	if ready != nil {
		if err := ready(); err != nil {
			return metrics, err
		}
	}
	metrics.LR = lr
	metrics.GradNorm, err = t.apply(lr)
	if errors.Is(err, errNotFinite) {
		err = t.badGradient(ctx, mini, rows, err)
	}
	return metrics, err
}

// gradient leaves the gradient of the objective on a mini-batch, run in the
// given rows, in the parameters.
func (t *Trainer) gradient(ctx context.Context, mini []*sample, rows []row) (updater.UpdateMetrics, error) {
	if err := t.scoreByReference(ctx, mini, rows); err != nil {
		return updater.UpdateMetrics{}, err
	}
	loss, entropy, err := t.accumulate(ctx, mini, rows)
	if err != nil {
		return updater.UpdateMetrics{}, err
	}
	metrics := loss.Metrics()
	metrics.Entropy = entropy / float64(metrics.Tokens)
	if err := loss.Err(); err != nil {
		if bad := loss.FirstBad(); bad >= 0 {
			err = byRollout(t.badScores(rows, bad, err), mini)
		}
		return metrics, fmt.Errorf("%w; no weight was changed", err)
	}
	return metrics, nil
}

// accumulate adds the gradients of the given rows of a mini-batch to the
// parameters' and returns the objective that it filled and the sum of the entropies.
func (t *Trainer) accumulate(ctx context.Context, mini []*sample, rows []row) (*grpo.Objective, float64, error) {
	lengths := make([]int, len(mini))
	for i, s := range mini {
		lengths[i] = len(s.rest)
	}
	loss := grpo.NewObjective(t.opt.Update, lengths)
	entropy := 0.0
	err := t.backward(ctx, rows, func(r row) objective {
		loss.MicroBatch(r.members)
		return objective{
			whole: loss.Whole(),
			gradient: func(first int, got scores) (grad scores) {
				for _, h := range got.entropy {
					entropy += float64(h)
				}
				for _, p := range r.pieces(mini, first, len(got.logp)) {
					t.addTo(loss, p, got.cut(p.at, p.n), &grad)
				}
				return grad
			},
		}
	})
	return loss, entropy, byRollout(err, mini)
}

// backward runs rows forward and backward and leaves the summed gradient of
// their objectives in the parameters.
func (t *Trainer) backward(ctx context.Context, rows []row, of func(row) objective) error {
	for i, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.net.train(t.counter, r, t.opt.Update.Temperature, t.opt.Update.Recompute, of(r)); err != nil {
			return t.inPack(rows, i, true, err)
		}
	}
	return nil
}

// addTo adds a piece with its scores to the loss, and the gradient of it to grad.
func (t *Trainer) addTo(loss *grpo.Objective, p piece, got scores, grad *scores) {
	cfg, s := t.opt.Update, p.sample
	if len(s.own) == p.from { // the first pass over it is the one that trains it
		s.own = append(s.own, got.logp...)
	}
	of := func(v []float32) []float64 {
		if v == nil {
			return nil
		}
		return widen(v[p.from:][:p.n])
	}
	dlogp, dentropy := loss.Add(p.member, grpo.Response{
		Logp: widen(got.logp), Old: of(s.old(cfg)), Advantage: s.advantage,
		Server: of(s.server), Reference: of(s.reference), Entropy: widen(got.entropy),
	})
	for _, d := range dlogp {
		grad.logp = append(grad.logp, float32(d))
		if cfg.EntropyCoef > 0 {
			grad.entropy = append(grad.entropy, float32(dentropy))
		}
	}
}

// old is what the ratio is taken against.
func (s *sample) old(cfg updater.Config) []float32 {
	if cfg.OldLogprobs == updater.OldLogprobsServer {
		return s.server
	}
	return s.own
}

// mismatch compares the log-probs of every sample that has both.
func mismatch(samples []*sample) updater.Mismatch {
	server, own := make([][]float32, len(samples)), make([][]float32, len(samples))
	for i, s := range samples {
		server[i], own[i] = s.server, s.own
	}
	m, worst := grpo.CompareServer(server, own)
	if worst >= 0 {
		m.WorstGroup, m.WorstRollout = samples[worst].group, samples[worst].index
	}
	return m
}

func sequences(samples []*sample) []sequence {
	out := make([]sequence, len(samples))
	for i, s := range samples {
		out[i] = s.sequence
	}
	return out
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
