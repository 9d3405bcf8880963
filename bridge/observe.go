package bridge

import (
	"context"
	"fmt"
)

// CacheProber asks a server the way rollouts do, through its prefix cache.
type CacheProber interface {
	// Next returns the most likely token after the prompt and its natural log-prob.
	Next(ctx context.Context, prompt []int32) (token int32, logprob float32, err error)
}

// Checksummer reads a server's own checksums of its weights, by tensor.
type Checksummer interface {
	// Checksums returns nil when the server offers none. Tensors whose bytes
	// the server cannot see are left out and counted in hidden.
	Checksums(ctx context.Context) (sums map[string]string, hidden int, err error)
}

// sums are a server's checksums; nil if it offers none.
type sums struct {
	of     map[string]string
	hidden int
}

// observe scores the probes on the server and reads its checksums.
func (b *Bridge) observe(ctx context.Context, d Deployment) (o observation, err error) {
	if o.scores, err = b.score(ctx, d.Server, b.o.Probes); err != nil {
		return o, fmt.Errorf("score the probes with server %s: %w", d.Name, err)
	}
	c, ok := d.Publisher.(Checksummer)
	if !ok {
		return o, nil
	}
	of, hidden, err := c.Checksums(ctx)
	if err == nil && of != nil {
		o.checksums = &sums{of, hidden}
	}
	return o, err
}

func compare(before, after *sums) *Checksums {
	if before == nil || after == nil {
		return nil
	}
	c := Checksums{Hidden: after.hidden}
	for name, sum := range after.of {
		if before.of[name] == sum {
			c.Equal++
		} else {
			c.Changed++
		}
	}
	return &c
}

// fillCache has the server's prefix cache hold the probes under the weights of now.
func (b *Bridge) fillCache(ctx context.Context, d Deployment) error {
	p, ok := d.Publisher.(CacheProber)
	if !ok {
		return nil
	}
	for _, probe := range b.o.Probes {
		if _, _, err := p.Next(ctx, probe[:len(probe)-1]); err != nil {
			return fmt.Errorf("probe the prefix cache of server %s: %w", d.Name, err)
		}
	}
	return nil
}

// cacheDiff is the greatest difference between the log-prob of a probe's next
// token through the prefix cache and the same afresh; nil if the server cannot
// be asked.
func (b *Bridge) cacheDiff(ctx context.Context, d Deployment) (*float64, error) {
	p, ok := d.Publisher.(CacheProber)
	if !ok {
		return nil, nil
	}
	var cached logprobs
	var longer [][]int32
	for _, probe := range b.o.Probes {
		prompt := probe[:len(probe)-1]
		token, lp, err := p.Next(ctx, prompt)
		if err != nil {
			return nil, fmt.Errorf("probe the prefix cache of server %s: %w", d.Name, err)
		}
		if !finite(lp) {
			return nil, fmt.Errorf("probe the prefix cache of server %s: the log-prob of token %d is %v", d.Name, len(prompt), lp)
		}
		cached = append(cached, lp)
		longer = append(longer, append(prompt[:len(prompt):len(prompt)], token))
	}
	scores, err := d.Server.Score(ctx, longer)
	if err == nil {
		_, err = flatten(longer, scores)
	}
	if err != nil {
		return nil, fmt.Errorf("score the probes with server %s: %w", d.Name, err)
	}
	fresh := make(logprobs, len(scores))
	for i, s := range scores {
		fresh[i] = s[len(s)-1]
	}
	most := cached.minus(fresh).max()
	return &most, nil
}

func (b *Bridge) score(ctx context.Context, s Scorer, probes [][]int32) (logprobs, error) {
	scores, err := s.Score(ctx, probes)
	if err != nil {
		return nil, err
	}
	return flatten(probes, scores)
}

func (b *Bridge) twice(ctx context.Context, s Scorer) (out [2]logprobs, err error) {
	for i := range out {
		if out[i], err = b.score(ctx, s, b.o.Probes); err != nil {
			return out, err
		}
	}
	return out, nil
}
