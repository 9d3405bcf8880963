//go:build torch

package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"path/filepath"

	"github.com/justrl/justrl/examples/warmup"
)

// makePolicy warms a policy up on exercises that are not held out: it learns to
// work them out, but seldom does.
func makePolicy(ctx context.Context, o options, t task) error {
	updates, batch, lr := cmp.Or(o.updates, t.updates, 500), cmp.Or(o.batch, t.batch, 128), cmp.Or(o.lr, t.lr, 3e-3)
	_, held := t.split(o.generator(), o.train, o.heldOut)
	heldOut := map[string]bool{}
	for _, e := range held {
		heldOut[t.message(e)] = true
	}
	rng := rand.New(rand.NewPCG(uint64(o.seed), 1))
	fresh := func(draw func(*rand.Rand) exercise) func() exercise {
		return func() exercise {
			for {
				if e := draw(rng); !heldOut[t.message(e)] {
					return e
				}
			}
		}
	}
	draw, practise := fresh(t.draw), fresh(t.draw)
	if t.drill != nil {
		practise = fresh(t.drill)
	}
	var corpus []string
	for range 2000 {
		e := draw()
		corpus = append(corpus, t.message(e), e.worked, e.blurt(rng), "user\nassistant\nsystem\n")
	}
	return warmup.Policy(ctx, warmup.Options{
		Dir: filepath.Join(o.policy, t.name), Corpus: corpus, Vocab: 448,
		Updates: updates, Batch: batch, LR: lr, Seed: o.seed, Threads: o.threads,
		Draw: func(update int) (message, answer string) {
			if float64(update) < t.practice*float64(updates) { // first the skill, then the habits
				e := practise()
				return t.message(e), e.worked
			}
			e := draw()
			return t.message(e), e.respond(rng)
		},
	})
}

// diligence is how often an exercise is worked out in the warm-up. It differs
// by exercise, so that greedy answers change habit one after another.
func (e exercise) diligence() float64 {
	h := uint32(2166136261)
	for _, b := range []byte(e.question) {
		h = (h ^ uint32(b)) * 16777619
	}
	return 0.1 + 0.3*float64(h%100)/100
}

// respond draws an answer in the mixed manner of the warm-up.
func (e exercise) respond(rng *rand.Rand) string {
	if rng.Float64() < e.diligence() {
		return e.worked
	}
	return e.blurt(rng)
}
