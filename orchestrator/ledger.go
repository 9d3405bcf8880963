package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// sample returns the step's rollouts, with the rewards to train on. What an
// earlier process has recorded of the step is not sampled again: a step that
// was trained on once comes back as it was, and one that was broken off is
// asked for what is missing.
func (r *Run) sample(ctx context.Context, step int) (batch, error) {
	r.thrown = journal.Cost{}
	recorded, err := journal.ReadRollouts(r.Journal.Path(), step)
	switch {
	case err == nil:
		return r.asTrained(ctx, step, recorded)
	case !errors.Is(err, fs.ErrNotExist):
		return batch{}, fmt.Errorf("%w; put it right, or %s", err, again)
	}
	// What later steps have was drawn from weights that this one leads to only
	// if it comes out as it did, and nobody knows that of a step sampled anew.
	if err := errors.Join(r.Journal.DropRolloutsAfter(step), r.sampledAnew(step)); err != nil {
		return batch{}, err
	}
	l, err := openLedger(r.Journal, step, r.Config.Sampling.N)
	if err != nil {
		return batch{}, err
	}
	if d := l.file.Damage(); d.Lines > 0 {
		r.Observer.Notice("%v; of the file %d lines are damaged and left out, and their rollouts are sampled again under the same seeds", d.First, d.Lines)
	}
	b, err := r.proven(ctx, step, l)
	if err := errors.Join(err, l.file.Close()); err != nil {
		return batch{}, err
	}
	if r.Config.Reward.ShuffleControl {
		shuffleRewards(b.groups, r.Config.Seed, step)
	}
	return b, nil
}

// proven fills the step until every server that had a part in it still serves
// what it was to serve. What one gave that does not is drawn again, from the
// others and under the same seeds.
func (r *Run) proven(ctx context.Context, step int, l *ledger) (batch, error) {
	r.drawn = nil
	bounded, stop := r.bounded(ctx, step)
	defer stop()
	for {
		b, err := r.fill(bounded, step, l)
		if err != nil {
			return b, r.provenAll(ctx, l, r.late(bounded, err, l))
		}
		others, err := r.Bridge.Check(ctx)
		var other *bridge.CanaryError
		if err != nil && ctx.Err() != nil && !errors.As(err, &other) { // interrupted: the rest is to be proved all the same
			return b, r.provenAll(ctx, l, andThen(err, notTakenBack, r.takeBack(l, others)))
		}
		if err := errors.Join(r.takeAllBack(l, err), r.takeBack(l, others)); err != nil || len(others) == 0 {
			return b, err
		}
		r.again = slices.Clone(r.drawn)
		r.Observer.Phase(step, "sample")
	}
}

// takeBack forgets what this process has sampled from some servers.
func (r *Run) takeBack(l *ledger, servers []string) error {
	if len(servers) == 0 {
		return nil
	}
	for _, server := range servers {
		n, err := l.file.TakeBackOf(func(o journal.Rollout) bool {
			if o.Server == server {
				r.thrown = r.thrown.Add(r.thrownAway(o))
			}
			return o.Server == server
		})
		if err != nil {
			return err
		}
		if r.Servers != nil {
			r.Servers.TakenBack(server, n)
		}
	}
	l.known, l.pending = nil, l.file.Known()
	return nil
}

const notTakenBack = "nor could it be taken back what was sampled from it"

// provenLimit bounds the check of what a step has that was broken off.
const provenLimit = 30 * time.Second

// provenAll ends a step that sampling broke off with err. What it has is kept
// for the resumed run, unless the server turns out to serve something else; one
// that cannot be asked any more has shown nothing of the kind.
func (r *Run) provenAll(ctx context.Context, l *ledger, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), provenLimit)
	defer cancel()
	var other *bridge.CanaryError
	others, check := r.Bridge.Check(ctx)
	if errors.As(check, &other) {
		return fmt.Errorf("%w (found when the step was broken off: %v)", r.takeAllBack(l, check), err) //nolint:errorlint // an interrupt is not what ends it
	}
	return andThen(err, notTakenBack, r.takeBack(l, others))
}

// ledger is a step's partial file as the sampler sees it.
type ledger struct {
	file    *journal.Partial
	n       int                         // rollouts a row
	pending []journal.Recorded          // of rows that have not been drawn yet
	known   map[int64][]sampler.Rollout // of those that were drawn last
}

func openLedger(dir *journal.Dir, step, n int) (*ledger, error) {
	file, err := dir.OpenPartial(step)
	if err != nil {
		return nil, err
	}
	return &ledger{file: file, n: n, pending: file.Known()}, nil
}

// claim makes the recorded rollouts of rows, which are about to be sampled,
// known. What is recorded of rows that are not drawn is refused, but for those
// that come after the last of rows where more batches may follow.
func (l *ledger) claim(rows []sampler.Row, more bool) error {
	var now, later []journal.Recorded
	for _, o := range l.pending {
		if more && o.Group > rows[len(rows)-1].Ordinal {
			later = append(later, o)
		} else {
			now = append(now, o)
		}
	}
	known, err := byRow(rows, l.n, now)
	if err != nil {
		return err
	}
	l.known, l.pending = known, later
	return nil
}

// Known implements sampler.Ledger.
func (l *ledger) Known(row sampler.Row) ([]sampler.Rollout, error) { return l.known[row.Ordinal], nil }

// Add implements sampler.Ledger.
func (l *ledger) Add(row sampler.Row, o sampler.Rollout) error {
	return l.file.Add(journalRollout(row, o))
}

// takeAllBack forgets all that this process has sampled if err says that the server
// serves something else: it was not drawn from the policy. It returns err.
func (r *Run) takeAllBack(l *ledger, err error) error {
	var other *bridge.CanaryError
	if errors.As(err, &other) {
		return andThen(err, notTakenBack, l.file.TakeBack(func(o journal.Rollout) { r.thrown = r.thrown.Add(r.thrownAway(o)) }))
	}
	return err
}

// byRow hands recorded rollouts to the step's rows, and refuses those that are
// none of theirs: they would be trained on as answers to another prompt.
func byRow(rows []sampler.Row, n int, recorded []journal.Recorded) (map[int64][]sampler.Rollout, error) {
	prompts := make(map[int64][]int32, len(rows))
	for _, row := range rows {
		prompts[row.Ordinal] = row.PromptTokenIDs
	}
	known := map[int64][]sampler.Rollout{}
	for _, o := range recorded {
		prompt, ok := prompts[o.Group]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: row %d is none of the step's: have the data changed since? %s", o.At, o.Group, remedy)
		case !slices.Equal(prompt, o.PromptTokenIDs):
			return nil, fmt.Errorf("%s: its prompt is not the one that row %d has now: have the data or the tokenizer changed since? %s", o.At, o.Group, remedy)
		case o.Sample < 0 || o.Sample >= n:
			return nil, fmt.Errorf("%s: sample %d is none of the row's %d; %s", o.At, o.Sample, n, remedy)
		}
		known[o.Group] = append(known[o.Group], samplerRollout(o.Rollout))
	}
	return known, nil
}

const (
	again  = "remove the file to have the step sampled again"
	remedy = "undo that, or " + again
)

// wholeStep makes the groups of a step that was recorded from its rollouts. At
// most lack of them may be missing, which could not be scored.
func wholeStep(path string, rows []sampler.Row, n, lack int, recorded []journal.Recorded) ([]sampler.Group, error) {
	known, err := byRow(rows, n, recorded)
	if err != nil {
		return nil, err
	}
	groups := make([]sampler.Group, 0, len(rows))
	for _, row := range rows {
		rollouts := known[row.Ordinal]
		missing := n - len(rollouts)
		if len(rollouts) == 0 && lack > 0 {
			missing = n - 1 // one alone is left out too
		}
		if lack -= missing; lack < 0 || len(rollouts) == 1 {
			return nil, fmt.Errorf("%s: has %d of the %d rollouts of row %d; %s", path, len(rollouts), n, row.Ordinal, again)
		}
		slices.SortFunc(rollouts, func(a, b sampler.Rollout) int { return a.Sample - b.Sample })
		if len(rollouts) > 0 {
			groups = append(groups, sampler.Group{Row: row, Rollouts: rollouts})
		}
	}
	return groups, nil
}
