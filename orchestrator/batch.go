package orchestrator

import (
	"context"
	"fmt"
	"slices"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// batch is what a step trains on, and what was drawn for it.
type batch struct {
	groups []sampler.Group   // sampling.batch of them, in the order in which they were drawn
	tokens int64             // response tokens of everything that was drawn
	flops  float64           // that it takes to draw it; 0 is not known
	again  bool              // the step was trained on before, and nothing was drawn
	drawn  *journal.Drawn    // nil without sampling.dynamic
	failed *journal.Unscored // nil for nothing; of a step that was trained on before, not known

	answers, right int // of drawn, while it is being filled
}

// fill samples the step: one batch of rows, or with sampling.dynamic (DAPO,
// arXiv 2503.14476, section 3.2) one after the other until sampling.batch groups
// have answers of both kinds. As in the paper's objective, and with verl's metric
// `acc`, it is the verifier's verdict that decides, not a reward that
// reward.overlong_buffer has made unequal. Groups beyond those that the step needs
// are left out as in verl: the first in the order of drawing are trained on,
// whichever came back first.
//
// What is drawn depends only on rows and verdicts: a step that was broken off
// anywhere goes on in the same batch, because that comes to the same end with the
// rollouts that the ledger knows.
func (r *Run) fill(ctx context.Context, step int, l *ledger) (batch, error) {
	s := r.Config.Sampling
	var b batch
	if s.Dynamic {
		b.drawn = &journal.Drawn{}
	}
	for {
		rows, err := r.draw(ctx)
		if err != nil {
			return b, err
		}
		if err := l.claim(rows, s.Dynamic); err != nil {
			return b, err
		}
		groups, err := r.Sampler.Continue(ctx, rows, r.trainingParams(), sampler.StepSeeds(r.Config.Seed, step), r.live.Version, l)
		if err != nil {
			return b, err
		}
		b.failed = b.failed.And(unscored(groups))
		b.flops += r.forwardFLOPs(groups)
		if b.tokens += int64(responseTokens(groups)); b.drawn == nil {
			if b.groups = comparable(groups); len(b.groups) == 0 {
				return b, fmt.Errorf("step %d: %w: of none of the %d rows could two rollouts be scored", step, ErrTooFewGroups, len(rows))
			}
			return b, nil
		}
		b.take(groups, s.Batch)
		switch {
		case len(b.groups) == s.Batch && len(r.again) == 0: // what was drawn before counts, however it comes out now
			return b, l.claim(nil, false)
		case b.drawn.Batches >= s.MaxBatches:
			return b, fmt.Errorf("step %d: %w: %d of the %d rows drawn, in %d batches, had both right and wrong answers, and the step trains on %d; "+
				"raise sampling.max_batches with --resume (what was sampled is kept), or take data that are neither too easy nor too hard for the policy",
				step, ErrTooFewGroups, len(b.groups), b.drawn.Groups, b.drawn.Batches, s.Batch)
		}
		r.Observer.Phase(step, "sample") // another batch of it
	}
}

// take sorts one more batch of groups into those that are trained on, want in
// all, and those that are only counted.
func (b *batch) take(groups []sampler.Group, want int) {
	d := b.drawn
	each(groups, func(o *sampler.Rollout) {
		if b.answers++; o.Score.Correct {
			b.right++
		}
	})
	for _, g := range groups {
		switch {
		case oneVerdict(g):
			d.EqualGroups++
		case len(b.groups) == want:
			d.SurplusGroups++
		default:
			b.groups = append(b.groups, g)
		}
	}
	d.Batches++
	d.Groups += len(groups)
	d.CorrectShare = float64(b.right) / float64(max(b.answers, 1))
	d.ResponseTokens, d.FLOPs = b.tokens, b.flops
}

// oneVerdict: the answers are all right or all wrong, and there is nothing to
// tell them apart by.
func oneVerdict(g sampler.Group) bool {
	return !slices.ContainsFunc(g.Rollouts, func(o sampler.Rollout) bool { return o.Score.Correct != g.Rollouts[0].Score.Correct })
}

// asTrained draws the rows of a step that an earlier process trained on, as
// many as it drew, and gives them the rollouts that they had.
func (r *Run) asTrained(ctx context.Context, step int, recorded []journal.Recorded) (batch, error) {
	s, path := r.Config.Sampling, journal.RolloutsPath(r.Journal.Path(), step)
	rows, err := r.draw(ctx)
	if err != nil {
		return batch{}, err
	}
	b := batch{again: true}
	lack := r.mayLack(len(rows))
	if s.Dynamic {
		drawn, err := r.Journal.ReadDrawn(step)
		if err != nil {
			return b, fmt.Errorf("%w; it says what step %d drew: %s (%s)", err, step, again, path)
		}
		if drawn.Batches < 1 || drawn.Groups/drawn.Batches != s.Batch || drawn.Groups%drawn.Batches != 0 {
			return b, fmt.Errorf("%s: says that %d batches of %d rows came to %d rows, which cannot be; put the file back as it was, or remove %s to have step %d sampled again",
				journal.DrawnPath(r.Journal.Path(), step), drawn.Batches, s.Batch, drawn.Groups, path, step)
		}
		for range drawn.Batches - 1 {
			more, err := r.draw(ctx)
			if err != nil {
				return b, err
			}
			rows = append(rows, more...)
		}
		lack = r.mayLack(len(rows))
		trained := map[int64]bool{}
		for _, o := range recorded {
			trained[o.Group] = true
		}
		if rows = slices.DeleteFunc(rows, func(row sampler.Row) bool { return !trained[row.Ordinal] }); len(rows) != s.Batch {
			return b, fmt.Errorf("%s: has rollouts of %d of the step's rows, not of %d: have the data changed since? %s", path, len(rows), s.Batch, remedy)
		}
		b.drawn, b.tokens, b.flops = &drawn, drawn.ResponseTokens, drawn.FLOPs
	}
	if b.groups, err = wholeStep(path, rows, s.N, lack, recorded); b.drawn == nil {
		b.tokens, b.flops = int64(responseTokens(b.groups)), r.forwardFLOPs(b.groups)
	}
	return b, err
}
