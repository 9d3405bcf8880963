//go:build torch

package torch

// #include "justrl.h"
import "C"

import (
	"fmt"

	"github.com/justrl/justrl/updater"
)

// apply does one AdamW update with the gradients that lie in the parameters,
// clipped to the configured norm, and returns their norm before clipping. It
// fails before a weight changes if that norm is not finite.
func (t *Trainer) apply(lr float64) (norm float64, err error) {
	s := newScope(t.counter)
	defer s.close()
	values, grads := make([]tensor, len(t.net.params)), make([]tensor, len(t.net.params))
	for i, p := range t.net.params {
		values[i], grads[i] = p.master, p.grad
	}
	norm = s.norm(grads)
	if s.err != nil {
		return 0, s.err
	}
	if !finite(norm) {
		return norm, fmt.Errorf("torch: the gradient's norm is %g, %w; no weight was changed", norm, errNotFinite)
	}
	o := t.opt.Optimizer
	// As torch's clip_grad_norm_.
	if factor := o.GradClip / (norm + 1e-6); o.GradClip > 0 && factor < 1 {
		s.scale(grads, factor)
	}
	if err := t.net.moments(s); err != nil {
		return norm, err
	}
	s.adamw(t.net.params, t.updates+1, lr, o)
	for _, p := range t.net.params {
		if p.master != p.value {
			s.copyTo(p.value, p.master)
		}
	}
	if s.err == nil {
		t.updates++
	}
	return norm, s.err
}

// moments makes AdamW's moments, zero, where there are none.
func (n *network) moments(s *scope) error {
	for _, p := range n.params {
		for _, moment := range []*tensor{&p.m, &p.v} {
			if !moment.ok() {
				*moment = s.keep(s.zerosLike(p.master))
			}
		}
		if s.err != nil {
			return fmt.Errorf("optimizer state of %s (8 bytes a weight, whatever the packs): %w", p.name, s.err)
		}
	}
	return nil
}

// dropGrads frees the gradients.
func (n *network) dropGrads(c *counter) {
	for _, p := range n.params {
		c.free(p.grad)
		p.grad = tensor{}
	}
	for _, b := range n.blocks {
		b.dropGrads(c)
	}
}

// adamw is update number step (from 1) of decoupled AdamW on all params at once:
// p ← p·(1 − lr·decay) − lr·(m/(1−β₁ˢ)) / (√(v/(1−β₂ˢ)) + eps).
func (s *scope) adamw(params []*parameter, step int64, lr float64, o updater.OptimizerConfig) {
	var lists [4][]tensor
	for _, p := range params {
		for i, t := range []tensor{p.master, p.grad, p.m, p.v} {
			lists[i] = append(lists[i], t)
		}
	}
	s.native("adamw", nil, 0, func([]C.jr_tensor) *C.char {
		p, g, m, v := handles(lists[0]), handles(lists[1]), handles(lists[2]), handles(lists[3])
		return C.jr_adamw(&p[0], &g[0], &m[0], &v[0], C.int(len(params)), C.int64_t(step),
			C.double(lr), C.double(o.Beta1), C.double(o.Beta2), C.double(o.Eps), C.double(o.WeightDecay))
	})
}
