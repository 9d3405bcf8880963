package bridge

import (
	"math"
	"testing"
)

func TestBegin(t *testing.T) {
	s := newSpace(2)
	at := s.at(0, 0)
	none := make(diffs, probeTokens)
	constant := func(x float64) diffs {
		d := make(diffs, probeTokens)
		for i := range d {
			d[i] = x
		}
		return d
	}
	spike := func(x float64) diffs {
		d := make(diffs, probeTokens)
		d[11] = x
		return d
	}
	still := s.bf16()
	for _, c := range []struct {
		name          string
		limits        Limits
		first, second diffs // the server's noise
		trainer       diffs // of its first scoring
		seen          string
	}{
		{"float32 on both sides", Limits{}, none, none, none, ""},
		{"bf16", Limits{}, still, still, none, ""},
		{"bf16, another each time", Limits{}, s.bf16(), still, none, ""},
		{"a trainer that is not always the same", Limits{}, still, still, s.bf16(), ""},
		{"an exact server, and such a trainer", Limits{}, none, none, still, ""},
		{"another checkpoint: all tokens off", Limits{}, constant(0.06), constant(0.06), none, "by 0.06 nats in the median (limit 0.05)"},
		{"another model: some tokens far off", Limits{}, spike(1.5), spike(1.5), none, "and 1.5 at most (limit 1) over 240 tokens"},
		{"a limit of one's own, passed", Limits{StartMedian: 0.07}, constant(0.06), constant(0.06), none, ""},
		{"a limit of one's own, not passed", Limits{StartMax: 0.01}, spike(0.02), spike(0.02), none, "0.02 at most (limit 0.01)"},
		{"the second scoring counts: the first may have been slow to warm", Limits{}, constant(0.06), none, none, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			canary := &canary{server: "http://fake", limits: c.limits.withDefaults()}
			canary.noise.Cache = 9 // of an earlier start
			first := Snapshot{Version: 4, SHA256: "a"}
			server, trainer := [2]logprobs{at.plus(c.first), at.plus(c.second)}, [2]logprobs{at.plus(c.trainer), at}
			r, err := canary.begin(first, server, trainer)
			if c.seen != "" {
				caught(t, err, 4, PartAgreement, c.seen)
				if canary.live != (Snapshot{}) {
					t.Errorf("live is %+v", canary.live)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v (%+v)", err, r)
			}
			want := Noise{
				Median: server[1].minus(at).median(), RMS: server[1].minus(at).rms(), Max: server[1].minus(at).max(),
				Repeat: server[1].minus(server[0]).max(), RepeatRMS: server[1].minus(server[0]).rms(),
				TrainerRepeat: trainer[0].minus(at).max(), TrainerRepeatRMS: trainer[0].minus(at).rms(),
			}
			if canary.noise != want || r.DiffMedian != want.Median || r.DiffMax != want.Max {
				t.Errorf("noise %+v, report %+v; want %+v", canary.noise, r, want)
			}
			// What was seen is what later loads are held against.
			e := evidence{before: server[1], after: server[1], trainer: at}
			if _, err := canary.judge(Snapshot{Version: 5, SHA256: "a"}, e); err != nil {
				t.Errorf("the same again: %v", err)
			}
			// Whatever noise there is, on whichever side: no direction is judged in it.
			by := 3.5 * max(want.RMS, want.RepeatRMS, want.TrainerRepeatRMS, 2e-6)
			e.after, e.trainer = s.at(by, 0).plus(c.second), s.at(by, 0)
			if r, err := canary.judge(Snapshot{Version: 6, SHA256: "b"}, e); err != nil || r.Direction != nil {
				t.Errorf("a step of 3.5 times the noise: %v (%+v)", err, r)
			}
		})
	}
}

// The prefix cache at the start, and what that lets pass later.
func TestCacheLimits(t *testing.T) {
	for _, c := range []struct {
		name       string
		noise      float64 // |server - trainer|, max
		start      float64
		begins     bool
		pass, fail float64 // later
	}{
		{"exact", 0, 0, true, 9e-5, 1.1e-4},
		{"exact, with kernels of its own for a cached prefix", 0, 1e-5, true, 1.9e-4, 2.1e-4},
		{"a little stale at the start already: that blinds no later load", 0, 9e-4, true, 0.95e-3, 1.1e-3},
		{"stale at the start", 0, 2e-3, false, 0, 0},
		{"bf16", 0.1, 0, true, 0.2, 0.21},
		{"bf16, with kernels of its own for a cached prefix", 0.1, 0.05, true, 0.3, 0.31},
		{"bf16, stale at the start", 0.1, 0.4, false, 0, 0},
		{"no number", 0, math.NaN(), false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			canary := &canary{server: "http://fake", limits: Limits{}.withDefaults(), noise: Noise{Max: c.noise}}
			err := canary.beginCache(Snapshot{Version: 3}, c.start)
			if !c.begins {
				caught(t, err, 3, PartCache, "prefix cache of older weights")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := canary.cache(Snapshot{Version: 4}, evidence{cache: &c.pass}, nil, nil); err != nil {
				t.Error(err)
			}
			caught(t, canary.cache(Snapshot{Version: 4}, evidence{cache: &c.fail}, nil, nil), 4, PartCache, "prefix cache of older weights")
		})
	}
}
