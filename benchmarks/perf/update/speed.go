package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/benchmarks/perf/update/wire"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
)

// contest is the steps of several contenders on one workload, in turns.
type contest struct {
	Model      string   `json:"model"`
	Parameters int64    `json:"parameters"`
	Problems   int      `json:"problems"`
	MiniBatch  int      `json:"mini_batch"`
	PackTokens int      `json:"pack_tokens"`
	Recompute  bool     `json:"recompute"`
	Tokens     int      `json:"tokens"` // of a step, prompts included
	Responses  int      `json:"response_tokens"`
	Pairs      int      `json:"pairs"`
	Entries    []*entry `json:"contenders"` // ours is the first
	// ForeignCores is the processors that the rest of the machine kept busy meanwhile.
	ForeignCores float64 `json:"foreign_cores"`
}

// entry is one contender's part.
type entry struct {
	Name   string      `json:"name"`
	First  wire.Step   `json:"first"` // the step to warm up, from the given weights
	Steps  []wire.Step `json:"steps"`
	Loaded int64       `json:"rss_loaded"` // bytes
	Growth int64       `json:"rss_growth"` // bytes at most, beyond Loaded
	Differ string      `json:"disagrees"`  // with ours: in what; "" if it does not
}

// compete makes the workload, starts ours and the others on it, and has them
// take turns, first to last and last to first, so that what drifts drifts for
// all alike.
func (o options) compete(ctx context.Context, w workload, others []string, pairs int, stderr io.Writer) (c *contest, err error) {
	c = &contest{
		Model: w.name, Parameters: w.parameters, Problems: w.problems, MiniBatch: w.miniBatch, PackTokens: w.packTokens,
		Recompute: o.recompute, Pairs: pairs,
	}
	c.Tokens, c.Responses = count(w.rollouts)
	var runners []*runner
	defer func() {
		for _, r := range runners {
			r.Close()
		}
	}()
	for _, name := range append([]string{ours}, others...) {
		r, err := o.launch(ctx, name, w.settings(o), stderr)
		if err != nil {
			return nil, err
		}
		runners = append(runners, r)
		c.Entries = append(c.Entries, &entry{Name: name, Loaded: r.loaded.Now})
	}
	foreign := measure.BusyCPU() - measure.TreeCPU(os.Getpid())
	seconds := 0.0
	for round := range pairs + 1 {
		for i := range runners {
			if round%2 == 1 {
				i = len(runners) - 1 - i
			}
			s, err := runners[i].step(wire.Groups{To: w.problems})
			if err != nil {
				return nil, err
			}
			e, what := c.Entries[i], "warm-up"
			if round == 0 {
				e.First = s
			} else {
				e.Steps = append(e.Steps, s)
				what = fmt.Sprintf("round %d/%d", round, pairs)
			}
			seconds += s.Seconds
			fmt.Fprintf(stderr, "update: %s, %s: %s %.0f tok/s (%.2f s)\n", c.Model, what, e.Name, float64(c.Tokens)/s.Seconds, s.Seconds)
		}
		if round == 0 {
			for _, e := range c.Entries[1:] {
				e.Differ = disagree(c.Entries[0].First, e.First, laterAgreement(e.Name))
			}
		}
	}
	c.ForeignCores = max(0, measure.BusyCPU()-measure.TreeCPU(os.Getpid())-foreign) / seconds
	for i, r := range runners {
		if c.Entries[i].Growth, err = r.growth(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// speed is tokens a second over the rounds.
func (c *contest) speed(e *entry) measure.Spread {
	var all []float64
	for _, s := range e.Steps {
		all = append(all, float64(c.Tokens)/s.Seconds)
	}
	return measure.SpreadOf(all)
}

// ratio is how many times as fast as e ours is, round by round. With spared, e
// is spared the old log-probs of the first mini-batch, which ours takes from
// the pass that trains it.
func (c *contest) ratio(e *entry, spared bool) measure.Spread {
	return measure.SpreadOf(c.ratios(e, spared))
}

func (c *contest) ratios(e *entry, spared bool) (all []float64) {
	for i, s := range e.Steps {
		if spared {
			s.Seconds -= s.FirstOldSeconds
		}
		all = append(all, s.Seconds/c.Entries[0].Steps[i].Seconds)
	}
	return all
}

// enoughRounds is how many make a median worth its name.
const enoughRounds = 5

// verdict is whether ours is at least bound times as fast as e by the median of
// the rounds; of fewer than enoughRounds it says in how many.
func (c *contest) verdict(e *entry, bound float64) string {
	all, reached := c.ratios(e, false), 0
	for _, x := range all {
		if x >= bound {
			reached++
		}
	}
	v := verdict(measure.SpreadOf(all).Median >= bound)
	switch n := len(all); {
	case n >= enoughRounds:
		return v
	case v == verdict(true):
		return fmt.Sprintf("%s in %s of %d", v, rounds(reached), n)
	default:
		return fmt.Sprintf("%s in %s of %d", v, rounds(n-reached), n)
	}
}

func rounds(n int) string {
	if n == 1 {
		return "1 round"
	}
	return fmt.Sprintf("%d rounds", n)
}

// growth is ours over e's.
func (c *contest) growth(e *entry) float64 { return float64(c.Entries[0].Growth) / float64(e.Growth) }

// workload is a model's folder and rollouts for it, in a folder of their own.
type workload struct {
	name       string
	dir        string // of the model
	spec       model.Spec
	parameters int64
	path       string // of the rollouts
	rollouts   []journal.Rollout
	problems   int
	miniBatch  int
	packTokens int
}

func (w workload) settings(o options) wire.Settings {
	return wire.Settings{
		Model: w.dir, Rollouts: w.path, Threads: o.threads, MiniBatch: w.miniBatch, PackTokens: w.packTokens, Recompute: o.recompute, LR: learningRate,
	}
}

// learningRate is small enough that random weights stay what they are.
const learningRate = 1e-6

// prepare makes the workload of a preset, or of the model in a folder.
func (o options) prepare(name string, problems, miniBatch int) (workload, error) {
	p, random := presets[name]
	if !random {
		p = presets["smol135m"]
	}
	w := workload{name: filepath.Base(name), dir: name, problems: problems, miniBatch: miniBatch, packTokens: p.packTokens}
	if random {
		w.dir = filepath.Join(o.work, name)
		if _, err := os.Stat(filepath.Join(w.dir, "model.safetensors")); err != nil {
			if err := writeModel(w.dir, p.config, o.seed); err != nil {
				return w, err
			}
		}
	}
	if o.packTokens > 0 {
		w.packTokens = o.packTokens
	}
	var err error
	if w.spec, err = model.Load(w.dir); err != nil {
		return w, err
	}
	w.parameters = parameters(w.spec)
	return w.with(o, makeRollouts(problems, w.spec.Vocab, spreadLengths, o.seed))
}

func parameters(s model.Spec) (total int64) {
	for _, t := range s.Tensors() {
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		total += n
	}
	return total
}

// with is the workload on other rollouts.
func (w workload) with(o options, rollouts []journal.Rollout) (workload, error) {
	w.rollouts = rollouts
	f, err := os.CreateTemp(o.work, "rollouts-*.jsonl")
	if err != nil {
		return w, err
	}
	w.path = f.Name()
	if err := f.Close(); err != nil {
		return w, err
	}
	return w, writeRollouts(w.path, rollouts)
}
