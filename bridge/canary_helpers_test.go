package bridge

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

const probeTokens = 240

// space is where the log-probs of these tests live: a point, and two
// directions at a right angle that a token moves along by 1 nat rms.
type space struct {
	base logprobs
	axes [2]diffs
	rng  *rand.Rand
}

func newSpace(seed uint64) *space {
	s := &space{rng: rand.New(rand.NewPCG(seed, 77))}
	for range probeTokens {
		s.base = append(s.base, -float32(s.rng.Float64())) // near 0, where float32 tells 1e-7 apart
	}
	for i := range s.axes {
		s.axes[i] = s.normal(1)
	}
	slope := s.axes[1].along(s.axes[0])
	for t := range s.axes[1] {
		s.axes[1][t] -= slope * s.axes[0][t]
	}
	for _, axis := range s.axes {
		length := axis.rms()
		for t := range axis {
			axis[t] /= length
		}
	}
	return s
}

// at is the log-probs of weights that moved so far along the two axes.
func (s *space) at(x, y float64) logprobs {
	out := make(logprobs, len(s.base))
	for t := range out {
		out[t] = float32(float64(s.base[t]) + x*s.axes[0][t] + y*s.axes[1][t])
	}
	return out
}

// normal is independent noise of a standard deviation on each token.
func (s *space) normal(sd float64) diffs {
	d := make(diffs, probeTokens)
	for t := range d {
		d[t] = sd * s.rng.NormFloat64()
	}
	return d
}

// bf16 is the noise that a bf16 server was seen to have: 0.016 nats in the mean, 0.1 at most.
func (s *space) bf16() diffs {
	d := s.normal(0.02) // whose mean is 0.016
	for t := range d {
		d[t] = min(max(d[t], -0.1), 0.1)
	}
	return d
}

// near is d with a little noise of its own.
func (s *space) near(d diffs, sd float64) diffs {
	out := s.normal(sd)
	for t := range out {
		out[t] += d[t]
	}
	return out
}

func (a logprobs) plus(d diffs) logprobs {
	out := make(logprobs, len(a))
	for t := range a {
		out[t] = float32(float64(a[t]) + d[t])
	}
	return out
}

// begun is a canary that has seen version 1, of weights "a", on a server with
// this noise in two scorings.
func (s *space) begun(t *testing.T, first, second diffs) *canary {
	t.Helper()
	c := &canary{server: "http://fake", limits: Limits{}.withDefaults()}
	at := s.at(0, 0)
	server := [2]logprobs{at.plus(first), at.plus(second)}
	if _, err := c.begin(Snapshot{Version: 1, SHA256: "a"}, server, [2]logprobs{at, at}); err != nil {
		t.Fatal(err)
	}
	if err := c.beginCache(c.live, 0); err != nil {
		t.Fatal(err)
	}
	return c
}

// caught fails unless err is a CanaryError of that part that says what was seen.
func caught(t *testing.T, err error, version int64, part Part, seen string) {
	t.Helper()
	var e *CanaryError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want a CanaryError of part %s", err, part)
	}
	if e.Part != part || e.Server != "http://fake" || e.Version != version || !strings.Contains(e.Seen, seen) {
		t.Errorf("caught as %+v; want part %s, version %d, %q", e, part, version, seen)
	}
}
