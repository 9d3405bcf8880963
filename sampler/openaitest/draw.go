package openaitest

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// draw samples one choice's tokens from its own stream of random numbers.
type draw struct {
	o      Options
	req    completionRequest
	policy *Policy
	seed   int64
	rng    *rand.Rand
	temp   float64
}

// newDraw is sample j's: its stream is that of seed + j, whatever n is, and
// whatever the prompt. Without a seed it is a fixed one, unlike vLLM's.
func newDraw(o Options, req completionRequest, j int, policy *Policy) *draw {
	seed := orDefault(req.Seed, 0) + int64(j)
	return &draw{
		o: o, req: req, policy: policy, seed: seed,
		rng:  rand.New(rand.NewPCG(uint64(seed), 0x6a09e667f3bcc908)),
		temp: orDefault(req.Temperature, 1),
	}
}

// next draws the token after prev, the done-th of the choice, with the
// log-prob that the server reports for it.
func (d *draw) next(prev int32, done int) (id int32, logprob float64) {
	raw := d.policy.row(prev)
	p := slices.Clone(raw)
	if done < d.req.MinTokens {
		for v := range p {
			if d.ends(int32(v)) {
				p[v] = math.Inf(-1)
			}
		}
	}
	if d.temp == 0 {
		best := 0
		for v := range p {
			if p[v] > p[best] {
				best = v
			}
		}
		return int32(best), raw[best]
	}
	for v := range p {
		p[v] /= d.temp
	}
	truncate(p, orDefault(d.req.TopP, 1), orDefault(d.req.TopK, -1), d.req.MinP)
	normalize(p)
	id = d.pick(p)
	if d.o.Processed {
		return id, p[id]
	}
	return id, raw[id]
}

// pick inverts the cumulative distribution.
func (d *draw) pick(p []float64) int32 {
	u := d.rng.Float64()
	last := 0
	for v, x := range p {
		if math.IsInf(x, -1) {
			continue
		}
		last = v
		if u -= math.Exp(x); u < 0 {
			break
		}
	}
	return int32(last)
}

// ends tells whether id ends a rollout.
func (d *draw) ends(id int32) bool {
	return (id == d.o.EOS && !d.req.IgnoreEOS) || slices.Contains(d.req.StopTokenIDs, id)
}

// stops tells whether the rollout ends with id, and vLLM's stop_reason: null for the end token.
func (d *draw) stops(id int32, done int) (bool, any) {
	if done < d.req.MinTokens || !d.ends(id) {
		return false, nil
	}
	if id == d.o.EOS && !d.req.IgnoreEOS {
		return true, nil
	}
	return true, id
}

// truncate drops what top-k, top-p and min-p exclude; p are log-weights.
func truncate(p []float64, topP float64, topK int, minP float64) {
	normalize(p)
	order := make([]int, len(p))
	for v := range order {
		order[v] = v
	}
	sort.SliceStable(order, func(a, b int) bool { return p[order[a]] > p[order[b]] })
	best, sum := p[order[0]], 0.0
	for i, v := range order {
		if (topK > 0 && i >= topK) || (topP < 1 && sum >= topP) || (minP > 0 && p[v] < best+math.Log(minP)) {
			p[v] = math.Inf(-1)
			continue
		}
		sum += math.Exp(p[v])
	}
}

// normalize makes log-weights log-probs.
func normalize(p []float64) {
	most := slices.Max(p)
	sum := 0.0
	for _, x := range p {
		sum += math.Exp(x - most)
	}
	norm := most + math.Log(sum)
	for v := range p {
		p[v] -= norm
	}
}
