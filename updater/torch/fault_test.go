//go:build torch

package torch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// setWeight multiplies a parameter; a factor of 0 makes it NaN.
func (t *Trainer) setWeight(tb testing.TB, name string, factor float32) {
	tb.Helper()
	p := t.net.byName()[name]
	v := t.host(tb, p.master, p.elements())
	for i := range v {
		if v[i] *= factor; factor == 0 {
			v[i] = float32(math.NaN())
		}
	}
	err := t.worker.do(func() error {
		s := newScope(t.counter)
		defer s.close()
		s.copyTo(p.value, s.view(s.floats(v, -1), p.shape...))
		return s.err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// A gradient that overflows in one tensor of one pack: the error names both,
// and whose rollouts they are, the weights and moments stay, and the trainer goes on.
func TestBadGradientNamesPackAndTensor(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name, tensor string
		prepare      func(*Trainer)
	}{
		// dlogp is infinite: everything is NaN, first of all the head.
		{"everywhere", "lm_head.weight (and 26 other tensors)", func(*Trainer) {}},
		// dlogp is 1e20 or so, and the activations inside the second layer's MLP
		// are large: their product overflows in one tensor and goes nowhere.
		{"in one tensor", "model.layers.1.mlp.down_proj.weight", func(tr *Trainer) {
			tr.setWeight(t, "model.layers.1.mlp.up_proj.weight", 1e20)
			tr.setWeight(t, "model.layers.1.mlp.down_proj.weight", 1e-20)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			trainer := openTrainer(t, filepath.Join("testdata", "qwen2_untied"), serverOld, func(o *Options) {
				o.Update.AdvantageStd, o.Update.MaxPackTokens, o.Optimizer.LR = false, 60, 1e-3
			})
			groups := fixtureBatch(t, "qwen2_untied")
			good := fixtureBatch(t, "qwen2_untied")
			scale := 1e300
			if c.name == "in one tensor" {
				scale = 1e22
			}
			for i := range groups[2].Rollouts {
				groups[2].Rollouts[i].Reward *= scale
			}
			c.prepare(trainer)
			mini := trainer.samples(t, groups)
			rows := microBatches(mini, trainer.opt.Update)
			pack := slices.IndexFunc(rows, func(r row) bool {
				return slices.ContainsFunc(r.members, func(m int) bool { return mini[m].group == 2 })
			})
			if pack < 1 || len(rows) < 3 {
				t.Fatalf("pack %d of %d is the bad one: the test shows too little", pack, len(rows))
			}
			before := sum(t, trainer)
			_, err := trainer.Step(ctx, 5, groups, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range []string{
				"step 5, update 0: ", fmt.Sprintf("pack %d of %d (%d tokens: group ", pack+1, len(rows), len(rows[pack].ids)), "group 2 rollout ",
				": the gradient of " + c.tensor + ": ", "not finite", "no weight was changed",
			} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || !errors.Is(err, errNotFinite) {
				t.Errorf("error %q", err)
			}
			if sum(t, trainer) != before || trainer.updates != 0 {
				t.Error("a weight changed")
			}
			if c.name == "everywhere" {
				if _, err := trainer.Step(ctx, 5, good, nil); err != nil {
					t.Errorf("the next step failed: %v", err)
				}
			}
		})
	}
}

// A weight that is NaN is named, with the first pack and rollout that it spoils.
func TestBadWeightIsNamed(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen3_qknorm"), serverOld, func(o *Options) { o.Update.MaxPackTokens = 60 })
	trainer.setWeight(t, "model.layers.1.mlp.gate_proj.weight", 0)
	_, err := trainer.Step(context.Background(), 2, fixtureBatch(t, "qwen3_qknorm"), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"step 2, update 0: pack 1 of ", "group 0 rollout 0", "the weights of model.layers.1.mlp.gate_proj.weight are not finite", "token 0: log-prob NaN", "no weight was changed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// Each pack's gradient is finite, and their sum is not.
func TestSumThatOverflowsIsNamed(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_untied"), serverOld, func(o *Options) { o.Update.MaxPackTokens = 60 })
	mini := trainer.samples(t, fixtureBatch(t, "qwen2_untied"))
	rows := microBatches(mini, trainer.opt.Update)
	err := trainer.worker.do(func() error {
		defer trainer.net.dropGrads(trainer.counter)
		if _, err := trainer.gradient(context.Background(), mini, rows); err != nil {
			return err
		}
		s := newScope(trainer.counter)
		defer s.close()
		s.scale([]tensor{trainer.net.byName()["model.norm.weight"].grad}, math.Inf(1))
		if s.err != nil {
			return s.err
		}
		_, err := trainer.apply(1e-3)
		if !errors.Is(err, errNotFinite) {
			t.Errorf("apply: %v", err)
		}
		return trainer.badGradient(context.Background(), mini, rows, err)
	})
	want := fmt.Sprintf("the sum of %d packs' gradients of model.norm.weight overflows", len(rows))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// What a failed allocation says, for a pack of several sequences and of one,
// with and without a backward pass.
func TestOutOfMemoryHints(t *testing.T) {
	seqs := []sequence{{[]int32{1}, []int32{2, 3}}, {[]int32{1, 2, 3}, []int32{4}}, {[]int32{5}, []int32{6}}}
	rows := []row{newRow(seqs, []int{0, 2}), newRow(seqs, []int{1})}
	cpu := errors.New("torch: linear([2 3], [4]): [enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)")
	for name, c := range map[string]struct {
		row       int
		training  bool
		recompute bool
		err       error
		want      string
	}{
		"a CPU's":           {0, true, false, cpu, "pack 1 of 2 (5 tokens: sequence 0, sequence 2): out of memory: lower update.max_pack_tokens (is 777), or set update.recompute to true: torch: linear"},
		"with recompute":    {0, true, true, cpu, "out of memory: lower update.max_pack_tokens (is 777): torch: "},
		"one sequence":      {1, true, false, cpu, "pack 2 of 2 (4 tokens: sequence 1): out of memory: lower sampling.max_tokens, one sequence fills this pack, or set update.recompute to true: "},
		"no backward":       {0, false, false, cpu, "out of memory: lower update.max_pack_tokens (is 777): torch: "},
		"C++'s own":         {0, true, true, errors.New("torch: cat(): std::bad_alloc"), "out of memory: lower"},
		"a GPU's":           {0, true, true, errors.New("torch: add(): CUDA out of memory. Tried to allocate 2.00 GiB."), "out of memory: lower"},
		"another's failure": {0, true, true, errors.New("torch: add(): sizes differ"), "sequence 2): torch: add(): sizes differ"},
	} {
		t.Run(name, func(t *testing.T) {
			trainer := &Trainer{}
			trainer.opt.Update.MaxPackTokens, trainer.opt.Update.Recompute = 777, c.recompute
			if got := trainer.inPack(rows, c.row, c.training, c.err).Error(); !strings.Contains(got, c.want) {
				t.Errorf("%q does not say %q", got, c.want)
			}
		})
	}
}
