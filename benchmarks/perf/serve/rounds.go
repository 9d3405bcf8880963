package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/justrl/justrl/benchmarks/perf/measure"
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
	// Foreign is the processor time that processes outside the benchmark took during the turn.
	Foreign float64 `json:"foreign_cpu_seconds"`
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
	foreign := foreignClock(all)
	for i, c := range all {
		contests[i] = contest{name: c.name, measured: c.pid != 0}
	}
	for round := range o.warmup + o.rounds {
		for i, c := range all {
			t, err := clocks[i].turn(ctx, c, o.work.round(round, logprobs), o.gap, foreign)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
			}
			what := "warm-up"
			if round >= o.warmup {
				contests[i].turns = append(contests[i].turns, t)
				what = fmt.Sprintf("round %d/%d", round-o.warmup+1, o.rounds)
			}
			fmt.Fprintf(stderr, "serve: log-probs %s, %s: %s %.0f tok/s (%d tokens in %.2f s; %.2f cores taken by others)\n",
				onOff(logprobs), what, c.name, t.rate(), t.Tokens, t.Seconds, t.Foreign/t.Seconds)
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

// foreignClock tells the processor time of all that is not this benchmark; it
// stands still if some contender's process is not known.
func foreignClock(all []named) func() float64 {
	ours := []int{os.Getpid()} // and transformers below it
	for _, c := range all {
		if c.pid == 0 {
			return func() float64 { return 0 }
		}
		if c.name != transformersName {
			ours = append(ours, c.pid)
		}
	}
	return func() float64 {
		foreign := measure.BusyCPU()
		for _, pid := range ours {
			foreign -= measure.TreeCPU(pid)
		}
		return foreign
	}
}

// clock tells what a contender's processes take while it is not its turn.
type clock struct {
	cpu  float64   // after its last turn and the gap
	when time.Time // zero before its first turn
}

// turn has c answer the requests, and then waits for the gap: vLLM's processes
// spin for most of a second after their last request, which is the next one's turn.
func (k *clock) turn(ctx context.Context, c named, requests []sampler.Request, gap time.Duration, foreign func() float64) (t turn, err error) {
	foreignBefore := foreign()
	before, began := measure.TreeCPU(c.pid), time.Now()
	if !k.when.IsZero() {
		t.Idle, t.Others = before-k.cpu, began.Sub(k.when).Seconds()
	}
	if t.Tokens, err = c.Sample(ctx, requests); err != nil {
		return t, err
	}
	t.Seconds = time.Since(began).Seconds()
	t.CPU = measure.TreeCPU(c.pid) - before
	t.Foreign = max(0, foreign()-foreignBefore)
	select {
	case <-time.After(gap):
	case <-ctx.Done():
		return t, context.Cause(ctx)
	}
	k.cpu, k.when = measure.TreeCPU(c.pid), time.Now()
	return t, nil
}
