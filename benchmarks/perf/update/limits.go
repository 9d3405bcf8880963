package main

import (
	"context"
	"fmt"
	"io"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// flopsResult is the updater's share of what libtorch's matrix products reach.
type flopsResult struct {
	Model    string         `json:"model"`
	Tokens   int            `json:"tokens"`
	Achieved measure.Spread `json:"flops"`        // model FLOP a second
	Products measure.Spread `json:"matmul_flops"` // of the model's shapes, between the steps
	Share    measure.Spread `json:"share"`        // round by round
	Pairs    int            `json:"pairs"`
}

// shareBound is the share that is promised.
const shareBound = 0.7

// flops takes steps of one update, without recomputation, in turns with the
// model's matrix products. One update needs no pass for old log-probs, so a
// step is three forward passes' worth.
func (o options) flops(ctx context.Context, stderr io.Writer) (*flopsResult, error) {
	const name, problems = "smol135m", 2
	o.recompute = false
	w, err := o.prepare(name, problems, problems)
	if err != nil {
		return nil, err
	}
	r, err := o.launch(ctx, ours, w.settings(o), stderr)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	products, err := o.start(ctx, "matmul.py", w.settings(o), stderr)
	if err != nil {
		return nil, err
	}
	defer products.Close()

	tokens, responses := count(w.rollouts)
	result := &flopsResult{Model: name, Tokens: tokens, Pairs: o.pairs}
	question := struct {
		Rows     int `json:"rows"`
		HeadRows int `json:"head_rows"`
	}{min(w.packTokens, tokens), min(w.packTokens, tokens) * responses / tokens}
	work := 3 * forwardFLOP(w.spec, w.rollouts)
	var achieved, limit, share []float64
	for round := range o.pairs + 1 {
		var answer struct {
			FLOPs float64 `json:"flops"`
		}
		// Before the step in one round and after it in the next.
		if round%2 == 1 {
			if err := products.Ask(question, &answer); err != nil {
				return nil, err
			}
		}
		s, err := r.step(groups{0, problems})
		if err != nil {
			return nil, err
		}
		if round == 0 {
			continue
		}
		if round%2 == 0 {
			if err := products.Ask(question, &answer); err != nil {
				return nil, err
			}
		}
		rate := work / s.Seconds
		achieved, limit, share = append(achieved, rate), append(limit, answer.FLOPs), append(share, rate/answer.FLOPs)
		fmt.Fprintf(stderr, "update: flops, round %d/%d: %.0f of %.0f GFLOP/s\n", round, o.pairs, rate/1e9, answer.FLOPs/1e9)
	}
	result.Achieved, result.Products, result.Share = measure.SpreadOf(achieved), measure.SpreadOf(limit), measure.SpreadOf(share)
	return result, nil
}

func (f *flopsResult) write(out io.Writer) error {
	giga := func(s measure.Spread) string {
		return measure.Spread{Median: s.Median / 1e9, Min: s.Min / 1e9, Max: s.Max / 1e9}.Text(0)
	}
	_, err := fmt.Fprintf(out, "\n%s, one update on %d tokens, recompute off: %s GFLOP/s; the same products alone %s; share %s over %d rounds, bound ≥ %g: %s\n",
		f.Model, f.Tokens, giga(f.Achieved), giga(f.Products), f.Share.Text(2), f.Pairs, shareBound, verdict(f.Share.Median >= shareBound))
	return err
}

// memoryResult is what packs of different sizes take.
type memoryResult struct {
	Model string       `json:"model"`
	Packs []packMemory `json:"packs"`
}

type packMemory struct {
	Tokens    int   `json:"tokens"`
	Sequences int   `json:"sequences"`
	Recompute bool  `json:"recompute"`
	Loaded    int64 `json:"rss_loaded"`
	Peak      int64 `json:"rss_peak"` // bytes, over two updates
}

const (
	largestPack = 16384
	// packBound is the bytes that a process with a pack of largestPack may have resident.
	packBound = 3e9
)

// memory updates twice on one pack, a process for each size.
func (o options) memory(ctx context.Context, stderr io.Writer) (*memoryResult, error) {
	const name = "qwen-vocab"
	result := &memoryResult{Model: name}
	w, err := o.prepare(name, 1, 1)
	if err != nil {
		return nil, err
	}
	for _, recompute := range []bool{false, true} {
		for _, p := range []struct{ tokens, sequences int }{
			{largestPack / 4, 4}, {largestPack / 2, 8}, {largestPack, 16}, {largestPack, 1},
		} {
			w, err := w.with(o, onePack(p.tokens, p.sequences, w.spec.Vocab, o.seed))
			if err != nil {
				return nil, err
			}
			o.recompute, w.packTokens = recompute, p.tokens
			m, err := o.packMemory(ctx, w, stderr)
			if err != nil {
				return nil, err
			}
			m.Tokens, m.Sequences, m.Recompute = p.tokens, p.sequences, recompute
			result.Packs = append(result.Packs, m)
			fmt.Fprintf(stderr, "update: memory, %d × %d tokens, recompute %s: %d MB\n", p.sequences, p.tokens/p.sequences, onOff(recompute), m.Peak>>20)
		}
	}
	return result, nil
}

func (o options) packMemory(ctx context.Context, w workload, stderr io.Writer) (m packMemory, err error) {
	r, err := o.launch(ctx, ours, w.settings(o), stderr)
	if err != nil {
		return m, err
	}
	defer r.Close()
	for range 2 { // the second has the moments from the beginning
		if _, err := r.step(groups{0, 1}); err != nil {
			return m, err
		}
	}
	at, err := measure.MemoryOf(r.PID())
	return packMemory{Loaded: r.loaded.Now, Peak: at.Peak}, err
}

// slope is the bytes that a token more takes from pack a to pack b.
func slope(a, b packMemory) float64 { return float64(b.Peak-a.Peak) / float64(b.Tokens-a.Tokens) }

// write prints a line for each pack; the slopes of the packs of 4k, 8k and 16k
// show whether memory is linear in tokens.
func (m *memoryResult) write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s, two updates on one pack, resident at most (all of the process):\n", m.Model)
	var before *packMemory
	for i := range m.Packs {
		p := &m.Packs[i]
		fmt.Fprintf(out, "  recompute %-3s  %2d × %5d tokens  %5d MB", onOff(p.Recompute), p.Sequences, p.Tokens/p.Sequences, p.Peak/1e6)
		if before != nil && before.Recompute == p.Recompute && before.Tokens < p.Tokens {
			fmt.Fprintf(out, "  %.1f kB a token more", slope(*before, *p)/1e3)
		}
		if p.Tokens == largestPack {
			fmt.Fprintf(out, "  bound ≤ %d MB: %s", int(packBound/1e6), verdict(float64(p.Peak) <= packBound))
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
		before = p
	}
	return nil
}
