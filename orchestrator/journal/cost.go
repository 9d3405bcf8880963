package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Cost is what work took. A figure that is 0 is left out of a record: what is not
// known is missing, not free. Tokens are those of answers. FLOPs are by the
// formula of internal/flops, whatever a server or the trainer really did; they
// are missing where the model's shape is not known. docs/formulas.md says what is
// in which figure.
type Cost struct {
	TokensGenerated int64 `json:"cost/tokens_generated,omitempty"` // drawn for training, with what was not trained on
	TokensUnused    int64 `json:"cost/tokens_unused,omitempty"`    // of these, in rows that sampling.dynamic left out
	TokensResampled int64 `json:"cost/tokens_resampled,omitempty"` // beside these, thrown away and drawn again, because a server had other weights
	TokensValidated int64 `json:"cost/tokens_validated,omitempty"` // answers to held-out problems
	TokensTrained   int64 `json:"cost/tokens_trained,omitempty"`   // that updates were made by, once an epoch

	FLOPsGenerated float64 `json:"cost/flops_generated,omitempty"` // of TokensGenerated and TokensResampled, with their prompts
	FLOPsValidated float64 `json:"cost/flops_validated,omitempty"`
	FLOPsTrained   float64 `json:"cost/flops_trained,omitempty"` // of old log-probs, the reference model, forward, backward and recompute

	// ServerSeconds is the time in which something was asked of a server, summed over
	// servers; TrainerSeconds that of the updates.
	ServerSeconds  float64 `json:"timing_s/servers,omitempty"`
	TrainerSeconds float64 `json:"timing_s/trainer,omitempty"`
}

// Add is both costs together.
func (c Cost) Add(more Cost) Cost {
	c.TokensGenerated += more.TokensGenerated
	c.TokensUnused += more.TokensUnused
	c.TokensResampled += more.TokensResampled
	c.TokensValidated += more.TokensValidated
	c.TokensTrained += more.TokensTrained
	c.FLOPsGenerated += more.FLOPsGenerated
	c.FLOPsValidated += more.FLOPsValidated
	c.FLOPsTrained += more.FLOPsTrained
	c.ServerSeconds += more.ServerSeconds
	c.TrainerSeconds += more.TrainerSeconds
	return c
}

// Sampling is the part that servers had in it, Training the other.
func (c Cost) Sampling() Cost { c.TokensTrained, c.FLOPsTrained, c.TrainerSeconds = 0, 0, 0; return c }

// Training is the part that the trainer had in it.
func (c Cost) Training() Cost {
	return Cost{TokensTrained: c.TokensTrained, FLOPsTrained: c.FLOPsTrained, TrainerSeconds: c.TrainerSeconds}
}

// The reasons of a [Spent].
const (
	SpentRewound = "rewound"    // its record was dropped, because the run went on from an earlier checkpoint
	SpentBroken  = "broken off" // it was begun and not recorded; what was sampled stays
	SpentRefused = "refused"    // the mismatch gate refused it; what was sampled is set aside
	SpentAnew    = "anew"       // what was sampled of a step that was rewound is gone, and is sampled again
)

// Spent is work that no record holds, or no longer, a line of spent.jsonl: that
// of a step, or where Validation is set of a measurement after so many steps.
// Such lines are never removed.
type Spent struct {
	Step       int    `json:"step"`
	Validation bool   `json:"validation,omitempty"`
	Why        string `json:"why"`
	// Kept: the rollouts of the step that was rewound are there, and what they cost
	// will be in its next record.
	Kept bool   `json:"kept,omitempty"`
	ID   string `json:"id,omitempty"` // of the record that was dropped
	Cost
}

// lost is what of it was for nothing, if the step's next record comes.
func (s Spent) lost() Cost {
	if s.Why == SpentBroken && !s.Validation || s.Kept {
		return s.Training()
	}
	return s.Cost
}

// SpentPath is the file of [Spent] lines in a run directory.
func SpentPath(run string) string { return filepath.Join(run, "spent.jsonl") }

// AppendSpent adds a line to spent.jsonl and syncs it; nothing for no cost at all.
func (d *Dir) AppendSpent(s Spent) (err error) {
	if s.Cost == (Cost{}) {
		return nil
	}
	l, err := openLines(SpentPath(d.path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.f.Close()) }()
	return l.append(s)
}

// Spent returns the lines of spent.jsonl.
func (d *Dir) Spent() ([]Spent, error) { return All[Spent](SpentPath(d.path)) }

// SampledBefore is what earlier processes spent on sampling a step that was not
// recorded, or no longer is, and whose rollouts are to be trained on now: with
// whole those of a step that was trained on before, else those of one that was
// broken off. Tokens and FLOPs of the latter are not in it: who goes on counts
// the rollouts that are there.
func (d *Dir) SampledBefore(step int, whole bool) (Cost, error) {
	all, err := d.Spent()
	return sampledBefore(all, whole)[step], err
}

// sampledBefore is that of all steps.
func sampledBefore(all []Spent, whole bool) map[int]Cost {
	sums := map[int]Cost{}
	for _, s := range all {
		switch {
		case s.Validation:
		case s.Why == SpentRewound && s.Kept && whole:
			sums[s.Step] = s.Sampling()
		case s.Why == SpentBroken:
			sums[s.Step] = sums[s.Step].Add(s.Sampling())
		default: // what was sampled up to here is another step's, or nobody's
			delete(sums, s.Step)
		}
	}
	return sums
}

// keepSpent notes what the records cost that Rewind(next) is about to drop, each
// once: it may have been killed before it dropped them.
func (d *Dir) keepSpent(next int) error {
	past, err := d.Spent()
	if err != nil {
		return err
	}
	keep := func(raw []byte, s Spent) error {
		sum := sha256.Sum256(raw)
		s.Why, s.ID = SpentRewound, hex.EncodeToString(sum[:8])
		if slices.ContainsFunc(past, func(p Spent) bool { return p.ID == s.ID }) {
			return nil
		}
		return d.AppendSpent(s)
	}
	err = eachLine(d.steps, func(raw []byte, s Step) error {
		if s.Step < next {
			return nil
		}
		_, err := os.Stat(RolloutsPath(d.path, s.Step))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rollouts: %w", err)
		}
		return keep(raw, Spent{Step: s.Step, Kept: err == nil, Cost: s.Cost})
	})
	if err != nil {
		return err
	}
	return eachLine(d.validations, func(raw []byte, v Validation) error {
		if v.Steps <= next {
			return nil
		}
		return keep(raw, Spent{Step: v.Steps, Validation: true, Cost: v.Cost})
	})
}

// Costs is what a run took so far.
type Costs struct {
	All  Cost `json:"all"`
	Lost Cost `json:"lost"` // what of it was for nothing
	// Kept is what of it went into rollouts that are there, of steps that were rewound
	// or broken off and that no record has yet: if the run goes on, theirs will.
	Kept Cost `json:"kept,omitzero"`
}

// WithSpent takes what no record holds into c, whose All are the records, `steps`
// of them steps. What a run that has ended still keeps for later is lost with it.
func (c Costs) WithSpent(spent []Spent, steps int, ended bool) Costs {
	for _, s := range spent {
		c.Lost = c.Lost.Add(s.lost())
	}
	pending := sampledBefore(spent, true)
	for _, step := range slices.Sorted(maps.Keys(pending)) { // sums of floats have an order
		switch {
		case step < steps: // in its record
		case ended:
			c.Lost = c.Lost.Add(pending[step])
		default:
			c.Kept = c.Kept.Add(pending[step])
		}
	}
	c.All = c.All.Add(c.Lost).Add(c.Kept)
	return c
}

// Costs adds up the records and what no record holds of a run that ends here.
func (d *Dir) Costs() (Costs, error) {
	var c Costs
	steps, err := d.Steps()
	if err != nil {
		return c, err
	}
	for _, s := range steps {
		c.All = c.All.Add(s.Cost)
	}
	measured, err := d.Validations()
	if err != nil {
		return c, err
	}
	for _, v := range measured {
		c.All = c.All.Add(v.Cost)
	}
	spent, err := d.Spent()
	return c.WithSpent(spent, len(steps), true), err
}
