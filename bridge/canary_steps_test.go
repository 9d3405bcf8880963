package bridge

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// Small steps on an exact server: what cannot be told alone is told in sum,
// and is then measured from there.
func TestSmallStepsAddUp(t *testing.T) {
	const by = 6e-7 // own tells more than 2e-6: the sum of four; direction more than 8e-6: of fourteen
	s := newSpace(3)
	none := make(diffs, probeTokens)
	step := func(c *canary, i int, server logprobs) (ServerReport, error) {
		return c.judge(Snapshot{Version: int64(i) + 1, SHA256: fmt.Sprint(i)}, evidence{before: c.last, after: server, trainer: s.at(by*float64(i), 0)})
	}
	t.Run("on a right server", func(t *testing.T) {
		c := s.begun(t, none, none)
		for i := 1; i <= 30; i++ {
			r, err := step(c, i, s.at(by*float64(i), 0))
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if told := i == 14 || i == 28; told != (r.Direction != nil) || told == slices.Contains(r.Inconclusive, PartDirection) || (i%4 == 0) == slices.Contains(r.Inconclusive, PartOwn) {
				t.Errorf("step %d: %+v", i, r)
			} else if told && math.Abs(*r.Direction-1) > 0.01 {
				t.Errorf("step %d: direction %v", i, *r.Direction)
			}
		}
	})
	t.Run("on one that keeps its weights", func(t *testing.T) {
		c := s.begun(t, none, none)
		for i := 1; i <= 3; i++ {
			if r, err := step(c, i, s.at(0, 0)); err != nil || !slices.Contains(r.Inconclusive, PartOwn) {
				t.Fatalf("step %d: %+v, %v", i, r, err)
			}
		}
		_, err := step(c, 4, s.at(0, 0))
		caught(t, err, 5, PartOwn, "still answers with version 4's weights")
	})
	t.Run("on one that keeps them from the third step on", func(t *testing.T) {
		c := s.begun(t, none, none)
		for i := 1; i <= 5; i++ {
			if _, err := step(c, i, s.at(by*float64(min(i, 2)), 0)); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		_, err := step(c, 6, s.at(by*2, 0))
		caught(t, err, 7, PartOwn, "still answers")
	})
}

// A server that acknowledges every load and keeps its weights, while other
// people's requests, batched with the probes, move a last bit of some token:
// that must not pass for a change.
func TestLyingUnderTraffic(t *testing.T) {
	const by = 1e-3
	for _, c := range []struct {
		name string
		sums *Checksums
		at   float64 // nats that the trainer has moved by when it is caught at the latest
		part Part    // that catches it
	}{
		{"checksums that stay", &Checksums{Equal: 3, Hidden: 4}, 0.02, PartOwn}, // the noise's median is near 0.0135
		{"no checksums", nil, 0.09, PartAgreement},                              // 4 times the noise, of 0.02
		{"checksums of nothing", &Checksums{Hidden: 7}, 0.09, PartAgreement},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(9)
			still := s.bf16()
			canary := s.begun(t, still, still) // quiet at the start: it repeats itself bit for bit
			for i := 1; by*float64(i) <= c.at; i++ {
				after := s.at(0, 0).plus(still)
				after[i%probeTokens] += 1e-4
				r, err := canary.judge(Snapshot{Version: int64(i) + 1, SHA256: fmt.Sprint(i)}, evidence{before: after, after: after, trainer: s.at(by*float64(i), 0), checksums: c.sums})
				if err != nil {
					caught(t, err, int64(i)+1, c.part, "")
					return
				}
				if !slices.Contains(r.Inconclusive, PartOwn) {
					t.Fatalf("step %d: taken for a change: %+v", i, r)
				}
			}
			t.Error("never caught")
		})
	}
}

// The same traffic on a server that loads what it is told to: no false alarm,
// and its changes are seen once they sum up to more than the noise.
func TestHonestUnderTraffic(t *testing.T) {
	const by = 1e-3
	for name, sums := range map[string]*Checksums{"with checksums": {Equal: 1, Changed: 2, Hidden: 4}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(9)
			still := s.bf16()
			canary := s.begun(t, still, still)
			seen := 0
			for i := 1; i <= 300; i++ {
				sha, x := fmt.Sprint(i), by*float64(i)
				if i%10 == 0 { // at a learning rate of 0
					sha, x = canary.live.SHA256, x-by
				}
				same, load := sums, s.at(x, 0)
				if sha == canary.live.SHA256 && sums != nil {
					same = &Checksums{Equal: 3, Hidden: 4}
				}
				r, err := canary.judge(Snapshot{Version: int64(i) + 1, SHA256: sha}, evidence{
					before: canary.last.plus(s.normal(1e-3)), after: load.plus(s.near(still, 2e-3)), trainer: load, checksums: same})
				if err != nil {
					t.Fatalf("step %d: %v (%+v)", i, err, r)
				}
				if sha == fmt.Sprint(i) && !slices.Contains(r.Inconclusive, PartOwn) {
					seen++
				}
			}
			if seen < 10 || sums != nil && seen != 270 {
				t.Errorf("seen to change %d times", seen)
			}
		})
	}
}

// A server that repeats itself only nearly shows a step when it exceeds that,
// and so does the sum of smaller ones: own must not wait for one great step.
func TestSmallStepsAddUpInNoise(t *testing.T) {
	const by, sd = 1e-3, 3e-4
	for name, right := range map[string]bool{"on a right server": true, "on one that keeps its weights": false} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(4)
			c := s.begun(t, s.normal(sd), s.normal(sd))
			for i := 1; i <= 20; i++ {
				at := 0.0
				if right {
					at = by * float64(i)
				}
				after := s.at(at, 0).plus(s.normal(sd))
				_, err := c.judge(Snapshot{Version: int64(i) + 1, SHA256: fmt.Sprint(i)}, evidence{before: c.last, after: after, trainer: s.at(by*float64(i), 0)})
				if right && err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if !right && err != nil {
					if i == 1 {
						t.Errorf("caught before it could be told: %v", err)
					}
					caught(t, err, int64(i)+1, PartDirection, "did not move as the trainer's did")
					return
				}
			}
			if !right {
				t.Error("never caught")
			}
		})
	}
}

// run is seeded training in small steps, of 1e-5 to 5e-3 nats rms as at a
// learning rate of 1e-6, against a server with a noise.
type run struct {
	*space
	trainer logprobs
	trend   diffs // what all steps have in common
	noise   string
	kept    diffs // the noise of the weights that are served
}

// scored is what the server answers for these weights.
func (r *run) scored(weights logprobs) logprobs {
	if r.noise == "another each time" {
		return weights.plus(r.bf16())
	}
	return weights.plus(r.kept)
}

func (r *run) step() {
	size := 1e-5 * math.Pow(500, r.rng.Float64())
	move := r.normal(size)
	for t := range move {
		move[t] += size / 2 * r.trend[t]
	}
	r.trainer = r.trainer.plus(move)
	if r.noise == "another after each load" {
		r.kept = r.bf16()
	}
}

const (
	runSteps = 500
	runSeeds = 3
)

func (r *run) begin(t *testing.T) *canary {
	t.Helper()
	c := &canary{server: "http://fake", limits: Limits{}.withDefaults()}
	server := [2]logprobs{r.scored(r.trainer), r.scored(r.trainer)}
	if _, err := c.begin(Snapshot{SHA256: "0"}, server, [2]logprobs{r.trainer, r.trainer}); err != nil {
		t.Fatal(err)
	}
	return c
}

func newRun(seed uint64, noise string) *run {
	s := newSpace(seed)
	r := &run{space: s, trainer: s.at(0, 0), trend: s.normal(1), noise: noise}
	if noise != "none" {
		r.kept = s.bf16()
	} else {
		r.kept = make(diffs, probeTokens)
	}
	return r
}

func eachRun(t *testing.T, do func(t *testing.T, r *run)) {
	for _, noise := range []string{"none", "always the same", "another after each load", "another each time"} {
		t.Run(noise, func(t *testing.T) {
			for seed := range uint64(runSeeds) {
				do(t, newRun(seed, noise))
			}
		})
	}
}

// A false alarm ends a run of days.
func TestNoFalseAlarms(t *testing.T) {
	eachRun(t, func(t *testing.T, r *run) {
		c := r.begin(t)
		told := 0
		sha := "0"
		for i := 1; i <= runSteps; i++ {
			before := r.scored(r.trainer)
			if r.rng.IntN(10) > 0 { // else the advantages were all 0
				r.step()
				sha = fmt.Sprint(i)
			}
			after := r.scored(r.trainer)
			got, err := c.judge(Snapshot{Version: int64(i), SHA256: sha}, evidence{before: before, after: after, trainer: r.trainer})
			if err != nil {
				t.Fatalf("step %d: %v (%+v)", i, err, got)
			}
			if got.Direction != nil {
				told++
			}
		}
		if told == 0 {
			t.Error("the direction was never told: the run shows nothing")
		}
	})
}

// A server that keeps its weights is caught: on an exact one in that very
// step, under noise when the trainer has moved out of it.
func TestLyingServersAreCaught(t *testing.T) {
	eachRun(t, func(t *testing.T, r *run) {
		c := r.begin(t)
		kept, weights := *r, r.trainer
		for i := 1; i <= runSteps; i++ {
			before := kept.scored(weights)
			r.step()
			after := kept.scored(weights)
			_, err := c.judge(Snapshot{Version: int64(i), SHA256: fmt.Sprint(i)}, evidence{before: before, after: after, trainer: r.trainer})
			var lie *CanaryError
			if errors.As(err, &lie) {
				t.Logf("step %d: %s", i, lie.Part)
				if lie.Part == PartIdle || lie.Part == PartCache || r.noise == "none" && (i > 1 || lie.Part != PartOwn) {
					t.Errorf("step %d: %v", i, err)
				}
				return
			}
		}
		t.Errorf("not caught in %d steps, in which the trainer moved by %.3g nats", runSteps, r.trainer.minus(weights).rms())
	})
}
