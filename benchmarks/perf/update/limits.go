package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/benchmarks/perf/update/wire"
)

// flopsResult is the updater's share of what libtorch's matrix products reach.
type flopsResult struct {
	Model    string         `json:"model"`
	Tokens   int            `json:"tokens"`
	Achieved measure.Spread `json:"flops"` // model FLOP a second
	// Products are the model's shapes, between the steps: query, key and value, and
	// gate and up, apart or side by side, whichever is faster; then all one way.
	Products measure.Spread `json:"matmul_flops"`
	Separate measure.Spread `json:"matmul_flops_separate"`
	Joined   measure.Spread `json:"matmul_flops_joined"`
	Share    measure.Spread `json:"share"` // Achieved over Products, round by round
	// ShareOfWeights is the same with none of attention's FLOP in the numerator.
	ShareOfWeights measure.Spread `json:"share_without_attention"`
	Pairs          int            `json:"pairs"`
}

// shareBound is the share that is promised: of all model FLOP, attention included.
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
	weights := 1 - 3*attentionFLOP(w.spec, w.rollouts)/work
	var achieved, limit, separate, joined, share, ofWeights []float64
	for round := range o.pairs + 1 {
		var answer struct {
			FLOPs    float64 `json:"flops"`
			Separate float64 `json:"separate"`
			Joined   float64 `json:"joined"`
		}
		// Before the step in one round and after it in the next.
		if round%2 == 1 {
			if err := products.Ask(question, &answer); err != nil {
				return nil, err
			}
		}
		s, err := r.step(wire.Groups{To: problems})
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
		separate, joined, ofWeights = append(separate, answer.Separate), append(joined, answer.Joined), append(ofWeights, weights*rate/answer.FLOPs)
		fmt.Fprintf(stderr, "update: flops, round %d/%d: %.0f of %.0f GFLOP/s\n", round, o.pairs, rate/1e9, answer.FLOPs/1e9)
	}
	result.Achieved, result.Products, result.Share = measure.SpreadOf(achieved), measure.SpreadOf(limit), measure.SpreadOf(share)
	result.Separate, result.Joined, result.ShareOfWeights = measure.SpreadOf(separate), measure.SpreadOf(joined), measure.SpreadOf(ofWeights)
	return result, nil
}

func (f *flopsResult) write(out io.Writer) error {
	giga := func(s measure.Spread) string {
		return measure.Spread{Median: s.Median / 1e9, Min: s.Min / 1e9, Max: s.Max / 1e9}.Text(0)
	}
	_, err := fmt.Fprintf(out, `
%s, one update on %d tokens, recompute off: %s GFLOP/s
  the weights' products alone: %s; all separate %s, all joined %s
  share %s over %d rounds, bound ≥ %g: %s; without attention's FLOP %s
`, f.Model, f.Tokens, giga(f.Achieved), giga(f.Products), giga(f.Separate), giga(f.Joined),
		f.Share.Text(2), f.Pairs, shareBound, verdict(f.Share.Median >= shareBound), f.ShareOfWeights.Text(2))
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
	Longest   int   `json:"longest"` // tokens of a sequence
	Recompute bool  `json:"recompute"`
	Loaded    int64 `json:"rss_loaded"`
	Peak      int64 `json:"rss_peak"` // bytes, over two updates
}

const (
	largestPack = 16384
	// packBound is the bytes that a process with a pack of largestPack may have resident.
	packBound = 3e9
	// linearBound is how many times as much a token may take from the second of
	// three packs to the third, each twice the one before, as from the first to
	// the second.
	linearBound = 1.2
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
		first := largestPack / 4
		if recompute { // tokens take so little that in small packs a chunk of logits is what counts
			first = largestPack / 2
		}
		packs := []packMemory{{Tokens: largestPack, Sequences: 2, Longest: 16000}}
		for _, tokens := range []int{4 * first, 2 * first, first} {
			packs = slices.Insert(packs, 0, packMemory{Tokens: tokens, Sequences: tokens / 1024, Longest: 1024})
		}
		for _, m := range packs {
			w, err := w.with(o, onePack(m.Tokens, m.Sequences, m.Longest, w.spec.Vocab, o.seed))
			if err != nil {
				return nil, err
			}
			o.recompute, w.packTokens, m.Recompute = recompute, m.Tokens, recompute
			if m.Loaded, m.Peak, err = o.packMemory(ctx, w, stderr); err != nil {
				return nil, err
			}
			result.Packs = append(result.Packs, m)
			fmt.Fprintf(stderr, "update: memory, %s tokens, recompute %s: %d MB\n", m.lengths(), onOff(recompute), m.Peak>>20)
		}
	}
	return result, nil
}

// lengths is the tokens of the pack's sequences: the first is the longest, the
// others share the rest.
func (p packMemory) lengths() string {
	if p.Longest*p.Sequences == p.Tokens {
		return fmt.Sprintf("%d × %d", p.Sequences, p.Longest)
	}
	return fmt.Sprintf("%d + %d", p.Longest, p.Tokens-p.Longest)
}

func (o options) packMemory(ctx context.Context, w workload, stderr io.Writer) (loaded, peak int64, err error) {
	r, err := o.launch(ctx, ours, w.settings(o), stderr)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	for range 2 { // the second has the moments from the beginning
		s, err := r.step(wire.Groups{To: 1})
		if err != nil {
			return 0, 0, err
		}
		if s.GradNorms[0] == 0 {
			return 0, 0, errors.New("a pack without a gradient: not what training takes")
		}
	}
	at, err := measure.MemoryOf(r.PID())
	return r.loaded.Now, at.Peak, err
}

// slope is the bytes that a token more takes from pack a to pack b.
func slope(a, b packMemory) float64 { return float64(b.Peak-a.Peak) / float64(b.Tokens-a.Tokens) }

// write prints a line for each pack, and whether memory is linear in tokens.
func (m *memoryResult) write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s, two updates on one pack, resident at most (all of the process):\n", m.Model)
	for i, p := range m.Packs {
		fmt.Fprintf(out, "  recompute %-3s  %11s tokens  %5d MB", onOff(p.Recompute), p.lengths(), p.Peak/1e6)
		grows := func(i int) bool {
			return i > 0 && m.Packs[i-1].Recompute == p.Recompute && m.Packs[i-1].Tokens < m.Packs[i].Tokens
		}
		if grows(i) {
			fmt.Fprintf(out, "  %.1f kB a token more", slope(m.Packs[i-1], p)/1e3)
		}
		if p.Tokens == largestPack {
			fmt.Fprintf(out, "  bound ≤ %d MB: %s", int(packBound/1e6), verdict(float64(p.Peak) <= packBound))
		}
		fmt.Fprintln(out)
		if grows(i) && grows(i-1) {
			bend := slope(m.Packs[i-1], p) / slope(m.Packs[i-2], m.Packs[i-1])
			if _, err := fmt.Fprintf(out, "  a token takes %.2f × as much from %d to %d as from %d to %d, bound ≤ %g: %s\n", bend,
				m.Packs[i-1].Tokens, p.Tokens, m.Packs[i-2].Tokens, m.Packs[i-1].Tokens, linearBound, verdict(bend <= linearBound)); err != nil {
				return err
			}
		}
	}
	return nil
}
