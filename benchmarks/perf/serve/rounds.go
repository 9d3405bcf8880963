package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/justrl/justrl/sampler"
)

// turn is one contender's part of one round.
type turn struct {
	Tokens  int     `json:"tokens"`
	Seconds float64 `json:"seconds"`
	// CPU is the processor time that the contender took, Idle that it took in
	// Others seconds of the others' turns since its last one.
	CPU    float64 `json:"cpu_seconds"`
	Idle   float64 `json:"idle_cpu_seconds"`
	Others float64 `json:"others_seconds"`
}

func (t turn) rate() float64 { return float64(t.Tokens) / t.Seconds }

// contest is the measured turns of one contender, round by round.
type contest struct {
	name     string
	measured bool // CPU and Idle are known
	turns    []turn
}

// takeTurns runs all rounds, the warm-up before them.
func takeTurns(ctx context.Context, all []named, o options, logprobs bool, stderr io.Writer) ([]contest, error) {
	contests := make([]contest, len(all))
	clocks := make([]clock, len(all))
	for i, c := range all {
		contests[i] = contest{name: c.name, measured: c.pid != 0}
	}
	for round := range o.warmup + o.rounds {
		for i, c := range all {
			t, err := clocks[i].turn(ctx, c, o.work.round(round, logprobs), o.gap)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
			}
			what := "warm-up"
			if round >= o.warmup {
				contests[i].turns = append(contests[i].turns, t)
				what = fmt.Sprintf("round %d/%d", round-o.warmup+1, o.rounds)
			}
			fmt.Fprintf(stderr, "serve: log-probs %s, %s: %s %.0f tok/s (%d tokens in %.2f s)\n", onOff(logprobs), what, c.name, t.rate(), t.Tokens, t.Seconds)
		}
	}
	return contests, nil
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// clock tells what a contender's processes take while it is not its turn.
type clock struct {
	cpu  float64   // after its last turn and the gap
	when time.Time // zero before its first turn
}

// turn has c answer the requests, and then waits for the gap: vLLM's processes
// spin for most of a second after their last request, which is the next one's turn.
func (k *clock) turn(ctx context.Context, c named, requests []sampler.Request, gap time.Duration) (t turn, err error) {
	before, began := treeCPU(c.pid), time.Now()
	if !k.when.IsZero() {
		t.Idle, t.Others = before-k.cpu, began.Sub(k.when).Seconds()
	}
	if t.Tokens, err = c.Sample(ctx, requests); err != nil {
		return t, err
	}
	t.Seconds = time.Since(began).Seconds()
	t.CPU = treeCPU(c.pid) - before
	select {
	case <-time.After(gap):
	case <-ctx.Done():
		return t, context.Cause(ctx)
	}
	k.cpu, k.when = treeCPU(c.pid), time.Now()
	return t, nil
}
