package engine

import (
	"math"
	"slices"
)

// Decide fills in what d leaves open, from a row of logits and the row to draw
// from (the same one where nothing was adjusted), in float64. It is the
// definition of Model.Draw, which is faster and may differ where a random
// number falls on the border of two tokens.
//
// The order is vLLM's: temperature, min-p, top-k, top-p of what is left, then
// the inverse of the cumulative distribution by ascending id.
func (d *Draw) Decide(raw, from []float32) {
	norm := logSumExp(raw)
	drawn := math.NaN()
	if !d.Given {
		d.ID, drawn = d.pick(from)
	}
	d.Logprob, d.Rank = float64(raw[d.ID])-norm, 1
	if d.Processed && !d.Given && d.Temperature > 0 && !math.IsNaN(norm) {
		d.Logprob = drawn
	}
	for _, x := range raw {
		if x > raw[d.ID] {
			d.Rank++
		}
	}
}

// pick returns a token and its log-prob in the distribution that it comes from.
func (d *Draw) pick(logits []float32) (int32, float64) {
	order := make([]int, len(logits)) // by descending logit
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return 0
	})
	if d.Temperature == 0 {
		return int32(order[0]), 0
	}
	weights := make([]float64, len(logits))
	for i, x := range logits {
		weights[i] = math.Exp(float64(x-logits[order[0]]) / d.Temperature)
	}
	keep := len(order)
	for keep > 1 && weights[order[keep-1]] < max(d.MinP, math.SmallestNonzeroFloat64) {
		keep--
	}
	most := keep
	ties := func(n int) int { // equals of the last one stay
		for n < most && logits[order[n]] == logits[order[n-1]] {
			n++
		}
		return n
	}
	if d.TopK > 0 {
		keep = ties(min(keep, d.TopK))
	}
	sum := func(tokens []int) (s float64) {
		for _, v := range tokens {
			s += weights[v]
		}
		return s
	}
	if total, s := sum(order[:keep]), 0.0; d.TopP < 1 {
		for i, v := range order[:keep] {
			if s += weights[v]; s >= d.TopP*total {
				keep = ties(i + 1)
				break
			}
		}
	}
	kept := slices.Sorted(slices.Values(order[:keep]))
	total := sum(kept)
	at, id := d.Uniform*total, kept[len(kept)-1]
	for _, v := range kept {
		if at -= weights[v]; at < 0 {
			id = v
			break
		}
	}
	return int32(id), float64(logits[id]-logits[order[0]])/d.Temperature - math.Log(total)
}

// logSumExp is NaN where a logit is not finite.
func logSumExp(row []float32) float64 {
	most, sum := float64(slices.Max(row)), 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - most)
	}
	return most + math.Log(sum)
}
