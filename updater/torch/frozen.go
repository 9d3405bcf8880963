//go:build torch

package torch

import (
	"context"
	"errors"
	"fmt"

	"github.com/justrl/justrl/updater/model"
)

// loadReference reads the model that update.kl_coef holds the policy to. It is
// a network of its own, in the arithmetic's kind, without masters, gradients
// or moments, and nothing ever writes to it: what a checkpoint restores is the
// policy, and the reference of a resumed run is the one that it began with.
func (t *Trainer) loadReference() (err error) {
	dir := t.opt.Update.Reference
	if dir == "" {
		dir = t.opt.Dir
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("update.reference: %w", err)
		}
	}()
	spec, set, err := model.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	if err := sameHead(spec, set); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if policy := t.net.spec; spec.Vocab != policy.Vocab {
		return fmt.Errorf("%s has a vocabulary of %d tokens, and the policy in %s one of %d: it must be a model with the same tokens", dir, spec.Vocab, t.opt.Dir, policy.Vocab)
	}
	t.reference = network{spec: spec, device: t.net.device, kind: t.net.kind}
	s := newScope(t.counter)
	defer s.close()
	return t.reference.load(s, set, frozen)
}

// scoreByReference fills in the reference model's log-probs of a mini-batch,
// where the objective needs them and they are not known from an earlier epoch.
// It runs before the mini-batch's own passes, in the same rows: beside the
// reference's weights, a row's forward activations are all that it adds.
func (t *Trainer) scoreByReference(ctx context.Context, mini []*sample, rows []row) error {
	if t.opt.Update.KLCoef == 0 || mini[0].reference != nil {
		return nil
	}
	got, err := t.scoreRows(ctx, &t.reference, sequences(mini), rows, t.opt.Update.Temperature)
	if err != nil {
		return fmt.Errorf("the reference model's log-probs: %w", byRollout(err, mini))
	}
	for i, s := range mini {
		s.reference = got[i].Logprobs
	}
	return nil
}
