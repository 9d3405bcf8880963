package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/benchmarks/perf/update/wire"
)

// The contenders.
const (
	ours = "ours" // the updater
	trl  = "trl"  // TRL's GRPOTrainer
	verl = "verl" // packed PyTorch, the logits of all tokens at once
	best = "best" // packed PyTorch as fast as it gets
)

// runner is a contender at work.
type runner struct {
	*measure.Process
	name   string
	loaded measure.Memory
}

// launch starts a contender and waits until it has loaded; the caller closes it.
func (o options) launch(ctx context.Context, name string, s wire.Settings, stderr io.Writer) (*runner, error) {
	script := ""
	switch name {
	case ours:
	case trl:
		script = "trl_grpo.py"
	case verl:
		script, s.Head = "packed.py", "whole"
	case best:
		script, s.Head, s.KeepHeap = "packed.py", "tiled", true
	default:
		return nil, fmt.Errorf("no contender is named %q", name)
	}
	p, err := o.start(ctx, script, s, stderr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &runner{Process: p, name: name}
	if r.loaded, err = measure.MemoryOf(p.PID()); err == nil {
		err = measure.ResetPeak(p.PID()) // what loading took is not a step's
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// start runs a Python script, or the updater if there is none.
func (o options) start(ctx context.Context, script string, s wire.Settings, stderr io.Writer) (*measure.Process, error) {
	arg, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, o.ours, string(arg))
	cmd.Env = append(os.Environ(), "OMP_WAIT_POLICY=passive") // as justrl sets it for itself
	if script != "" {
		cmd = exec.CommandContext(ctx, o.python, filepath.Join(o.work, script), string(arg))
		cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	}
	cmd.Stderr = stderr
	return measure.Start(cmd, new(struct{}))
}

// step has the contender take one training step.
func (r *runner) step(g wire.Groups) (s wire.Step, err error) {
	if err = r.Ask(g, &s); err == nil && (len(s.Losses) == 0 || len(s.GradNorms) == 0 || !(s.Seconds > 0)) {
		err = fmt.Errorf("a step without figures: %+v", s)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", r.name, err)
	}
	return s, nil
}

// growth is the bytes that steps have taken at most, beyond what was loaded.
func (r *runner) growth() (int64, error) {
	m, err := measure.MemoryOf(r.PID())
	return m.Peak - r.loaded.Now, err
}

// agreement is how far two figures may be apart, relative to the larger, before
// one of them computes something else; below the least it is relative to that:
// a loss is a mean of numbers around 1, of which rounding is left where they
// cancel. It holds for later updates too: at learningRate AdamW moves a weight by
// so little that those whose gradient's sign is rounding do not show.
const agreement, least = 1e-4, 1e-2

// laterAgreement is that of the updates after the first. TRL weights an update
// by its share of the batch's tokens, which AdamW's moments carry on into the
// next ones as no rescaling of a figure can undo.
func laterAgreement(name string) float64 {
	if name == trl {
		return 1e-3
	}
	return agreement
}

// disagree names the first figure of the step's updates in which two differ,
// those after the first by more than later; "" if they agree in all.
func disagree(a, b wire.Step, later float64) string {
	if len(a.Losses) != len(b.Losses) || len(a.GradNorms) != len(b.GradNorms) || len(a.Losses) != len(a.GradNorms) {
		return fmt.Sprintf("%d losses and %d gradient norms against %d and %d", len(a.Losses), len(a.GradNorms), len(b.Losses), len(b.GradNorms))
	}
	for i := range a.Losses {
		within := agreement
		if i > 0 {
			within = later
		}
		for _, x := range []struct {
			name string
			a, b float64
		}{{"loss", a.Losses[i], b.Losses[i]}, {"gradient norm", a.GradNorms[i], b.GradNorms[i]}} {
			if !(math.Abs(x.a-x.b) <= within*max(math.Abs(x.a), math.Abs(x.b), least)) {
				return fmt.Sprintf("update %d's %s is %.8g and %.8g", i+1, x.name, x.a, x.b)
			}
		}
	}
	return ""
}
