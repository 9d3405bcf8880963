package openaitest

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/justrl/justrl/sampler/localserver"
)

// draw samples one choice's tokens from its own stream of random numbers.
type draw struct {
	o    Options
	r    localserver.Request
	seed int64
	rng  *rand.Rand
	seen map[int32]int // how often a token is in prompt (as 0) and answer
}

// newDraw is sample j's: its stream is that of seed + j, whatever n is, and
// whatever the prompt.
func newDraw(o Options, r localserver.Request, j int) *draw {
	seed := r.Seed + int64(j)
	if o.IgnoreTemperature {
		r.Temperature = 1
	}
	d := &draw{o: o, r: r, seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 0x6a09e667f3bcc908)), seen: map[int32]int{}}
	for _, id := range r.Prompt {
		d.seen[id] = 0
	}
	return d
}

// next draws the token after prev, the done-th of the choice, and gives the
// log-probs that the server reports.
func (d *draw) next(policy *Policy, prev int32, done int) (id int32, reported []float64) {
	raw := policy.row(prev)
	p := slices.Clone(raw)
	d.shift(p, done)
	if d.r.Temperature == 0 {
		best := 0
		for v := range p {
			if p[v] > p[best] {
				best = v
			}
		}
		return int32(best), raw
	}
	for v := range p {
		p[v] /= d.r.Temperature
	}
	truncate(p, d.r.TopP, d.r.TopK, d.r.MinP)
	normalize(p)
	id = d.pick(p)
	if d.o.Processed {
		return id, p
	}
	return id, raw
}

// shift applies what changes logits before the temperature does.
func (d *draw) shift(p []float64, done int) {
	for v := range p {
		id := int32(v)
		if d.r.Allowed != nil && !slices.Contains(d.r.Allowed, id) || done < d.r.MinTokens && d.ends(id) {
			p[v] = math.Inf(-1)
			continue
		}
		p[v] += float64(d.r.LogitBias[id])
		if times, ok := d.seen[id]; ok {
			if p[v] > 0 {
				p[v] /= d.r.RepetitionPenalty
			} else {
				p[v] *= d.r.RepetitionPenalty
			}
			p[v] -= d.r.FrequencyPenalty * float64(times)
			if times > 0 {
				p[v] -= d.r.PresencePenalty
			}
		}
	}
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
	return (id == d.o.EOS && !d.r.IgnoreEOS) || slices.Contains(d.r.StopTokenIDs, id)
}

// stops tells whether the rollout ends with id, and which stop token it is: -1
// for the end token.
func (d *draw) stops(id int32, done int) (bool, int32) {
	if done < d.r.MinTokens || !d.ends(id) {
		return false, -1
	}
	if id == d.o.EOS && !d.r.IgnoreEOS {
		return true, -1
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
