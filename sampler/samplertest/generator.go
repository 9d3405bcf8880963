// Package samplertest is the conformance suite of [sampler.Generator]: what
// every implementation must do, run on the fake server and on real ones.
package samplertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler"
)

// Subject is a Generator under test and what the suite must know about its server.
type Subject struct {
	Generator sampler.Generator
	// Score gives the server's own log-probs of fixed sequences, as a
	// bridge.Scorer does; nil skips what needs them.
	Score func(ctx context.Context, seqs [][]int32) ([][]float32, error)
	// Running is the number of requests that the server works on; nil skips
	// the test that cancelling reaches the server.
	Running func(ctx context.Context) (int, error)
	// Prompt is any prompt that the model answers with more than one likely token.
	Prompt []int32
	// Vocab is the number of token ids of the model.
	Vocab int
	// MaxModelLen is the model's context.
	MaxModelLen int
	// Tolerance is the largest difference between two computations of one
	// log-prob by this server: 0 for an exact one, about 1e-4 for float32, 0.15 for bfloat16.
	Tolerance float64
	// Reproducible tells that the same seed gives the same tokens whatever
	// else is in the batch: exact servers, or float32 with few ties.
	Reproducible bool
	// NoLogprobs tells that rollouts have none, whatever is asked for; Raw is false then.
	NoLogprobs bool
	// Raw tells that log-probs are those of the model, before temperature and truncation.
	Raw bool
}

// Generator runs the suite. open gives a fresh subject; it may be the same server each time.
func Generator(t *testing.T, open func(t *testing.T) Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"samples are complete and in order", wellFormed},
		{"the same request twice gives the same tokens", repeats},
		{"sample j of n is sample j alone", seedStreams},
		{"samples of one request differ", samplesDiffer},
		{"greedy takes the most likely token", greedy},
		{"max_tokens of one gives one token", oneToken},
		{"a stop token ends a rollout and is part of it", stopToken},
		{"the context's end is a length stop", contextEnd},
		{"log-probs are those of the sequence", logprobsAgree},
		{"log-probs can be left out", withoutLogprobs},
		{"many rows at once do not mix", rowsDoNotMix},
		{"cancelling frees the server", cancelling},
		{"a context that has ended sends nothing", cancelledBefore},
		{"bad requests are refused", refused},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// params are the suite's usual ones.
func params(n, maxTokens int) sampler.Params {
	return sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true}
}

func (s Subject) request(n, maxTokens int) sampler.Request {
	return sampler.Request{PromptTokenIDs: s.Prompt, Params: params(n, maxTokens), Seed: 1 << 40, Count: n}
}

func (s Subject) generate(t *testing.T, r sampler.Request) []sampler.Rollout {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := s.Generator.Generate(ctx, r)
	if err != nil {
		t.Fatalf("generate: %v", err)
	}
	s.check(t, r, got)
	return got
}

// check asserts what holds for every reply.
func (s Subject) check(t *testing.T, r sampler.Request, got []sampler.Rollout) {
	t.Helper()
	if len(got) != r.Count {
		t.Fatalf("%d rollouts, asked for %d", len(got), r.Count)
	}
	for i, ro := range got {
		if ro.Sample != r.First+i {
			t.Errorf("rollout %d is sample %d, want %d", i, ro.Sample, r.First+i)
		}
		if n := len(ro.TokenIDs); n == 0 || n > r.Params.MaxTokens {
			t.Errorf("sample %d has %d tokens, want 1 to %d", ro.Sample, n, r.Params.MaxTokens)
		}
		for _, id := range ro.TokenIDs {
			if id < 0 || int(id) >= s.Vocab {
				t.Errorf("sample %d has token %d, outside the vocabulary of %d", ro.Sample, id, s.Vocab)
			}
		}
		if ro.FinishReason != sampler.FinishStop && ro.FinishReason != sampler.FinishLength {
			t.Errorf("sample %d ended with %q", ro.Sample, ro.FinishReason)
		}
		if s.NoLogprobs && ro.Logprobs != nil {
			t.Errorf("sample %d has log-probs, which this server cannot give", ro.Sample)
		}
		if r.Params.Logprobs && !s.NoLogprobs && len(ro.Logprobs) != len(ro.TokenIDs) {
			t.Errorf("sample %d has %d log-probs for %d tokens", ro.Sample, len(ro.Logprobs), len(ro.TokenIDs))
		}
		if ro.WeightsVersion != 0 || ro.Score != (sampler.Score{}) {
			t.Errorf("sample %d has version %d and score %v, which are the caller's to set", ro.Sample, ro.WeightsVersion, ro.Score)
		}
	}
}

func wellFormed(t *testing.T, s Subject) {
	for _, n := range []int{1, 2, 8} {
		s.generate(t, s.request(n, 12))
	}
}

func repeats(t *testing.T, s Subject) {
	needsReproducible(t, s)
	a, b := s.generate(t, s.request(4, 12)), s.generate(t, s.request(4, 12))
	if diff := cmp.Diff(tokens(a), tokens(b)); diff != "" {
		t.Errorf("the second time differs (-first +second):\n%s", diff)
	}
}

func seedStreams(t *testing.T, s Subject) {
	needsReproducible(t, s)
	const n = 5
	whole := s.generate(t, s.request(n, 12))
	for j := range n {
		alone := s.request(n, 12)
		alone.First, alone.Count = j, 1
		if diff := cmp.Diff(whole[j].TokenIDs, s.generate(t, alone)[0].TokenIDs); diff != "" {
			t.Errorf("sample %d alone differs (-of %d +alone):\n%s", j, n, diff)
		}
	}
	middle := s.request(n, 12)
	middle.First, middle.Count = 1, 3
	if diff := cmp.Diff(tokens(whole[1:4]), tokens(s.generate(t, middle))); diff != "" {
		t.Errorf("samples 1 to 3 together differ (-whole +part):\n%s", diff)
	}
}

func samplesDiffer(t *testing.T, s Subject) {
	seen := map[string]bool{}
	for _, ro := range s.generate(t, s.request(8, 24)) {
		seen[fmt.Sprint(ro.TokenIDs)] = true
	}
	if len(seen) < 2 {
		t.Error("eight samples are all the same")
	}
	other := s.request(8, 24)
	other.Seed += 1000
	for _, ro := range s.generate(t, other) {
		seen[fmt.Sprint(ro.TokenIDs)] = true
	}
	if len(seen) < 4 {
		t.Errorf("sixteen samples of two seeds have %d kinds", len(seen))
	}
}

func greedy(t *testing.T, s Subject) {
	r := s.request(1, 8)
	r.Params.Temperature = 0
	best := s.generate(t, r)[0]
	if !s.Raw {
		return
	}
	// No other first token can be more likely than the greedy one.
	for _, ro := range s.generate(t, s.request(16, 1)) {
		if float64(ro.Logprobs[0]) > float64(best.Logprobs[0])+s.Tolerance {
			t.Errorf("token %d with log-prob %v is more likely than the greedy %d with %v", ro.TokenIDs[0], ro.Logprobs[0], best.TokenIDs[0], best.Logprobs[0])
		}
	}
	if a, b := best.TokenIDs, s.generate(t, r)[0].TokenIDs; s.Reproducible && !slices.Equal(a, b) {
		t.Errorf("greedy twice: %v, then %v", a, b)
	}
}

func oneToken(t *testing.T, s Subject) {
	for _, ro := range s.generate(t, s.request(3, 1)) {
		if len(ro.TokenIDs) != 1 {
			t.Errorf("sample %d has %d tokens", ro.Sample, len(ro.TokenIDs))
		}
	}
}

func stopToken(t *testing.T, s Subject) {
	needsReproducible(t, s)
	r := s.request(1, 12)
	whole := s.generate(t, r)[0]
	for ; len(whole.TokenIDs) < 3; whole = s.generate(t, r)[0] {
		if r.Seed++; r.Seed == 1<<40+100 {
			t.Fatal("a hundred rollouts end by themselves before their third token: the suite needs another prompt")
		}
	}
	r.Params.StopTokenIDs = []int32{whole.TokenIDs[1]}
	got := s.generate(t, r)[0]
	want := whole.TokenIDs[:1+slices.Index(whole.TokenIDs, whole.TokenIDs[1])]
	if !slices.Equal(got.TokenIDs, want) || got.FinishReason != sampler.FinishStop {
		t.Errorf("with stop token %d: %v (%s), want %v (stop)", whole.TokenIDs[1], got.TokenIDs, got.FinishReason, want)
	}
}

func contextEnd(t *testing.T, s Subject) {
	const room = 3
	r := s.request(2, 50)
	r.PromptTokenIDs = nil
	for len(r.PromptTokenIDs) < s.MaxModelLen-room {
		r.PromptTokenIDs = append(r.PromptTokenIDs, s.Prompt[len(r.PromptTokenIDs)%len(s.Prompt)])
	}
	for _, ro := range s.generate(t, r) {
		if ro.FinishReason == sampler.FinishLength && len(ro.TokenIDs) != room {
			t.Errorf("sample %d has %d tokens, the context has room for %d", ro.Sample, len(ro.TokenIDs), room)
		}
		if len(ro.TokenIDs) > room {
			t.Errorf("sample %d has %d tokens, over the context", ro.Sample, len(ro.TokenIDs))
		}
	}
}

func logprobsAgree(t *testing.T, s Subject) {
	if s.Score == nil || s.NoLogprobs {
		t.Skip("SKIPPED: the subject cannot score sequences, or has no log-probs to compare")
	}
	for _, temperature := range []float64{1, 0.5} {
		if temperature != 1 && !s.Raw {
			continue
		}
		r := s.request(4, 16)
		r.Params.Temperature = temperature
		for _, ro := range s.generate(t, r) {
			score, err := s.Score(t.Context(), [][]int32{slices.Concat(r.PromptTokenIDs, ro.TokenIDs)})
			if err != nil {
				t.Fatalf("score: %v", err)
			}
			want := score[0][len(r.PromptTokenIDs)-1:]
			for i, x := range ro.Logprobs {
				if d := math.Abs(float64(x - want[i])); d > s.Tolerance {
					t.Errorf("temperature %v, sample %d, token %d: log-prob %v, scored %v (off by %.2g)", temperature, ro.Sample, i, x, want[i], d)
				}
			}
		}
	}
}

func withoutLogprobs(t *testing.T, s Subject) {
	r := s.request(2, 4)
	r.Params.Logprobs = false
	for _, ro := range s.generate(t, r) {
		if ro.Logprobs != nil {
			t.Errorf("sample %d has log-probs that nobody asked for", ro.Sample)
		}
	}
}

func rowsDoNotMix(t *testing.T, s Subject) {
	const rows = 16
	ask := func(i int) sampler.Request {
		r := s.request(2, 8)
		r.PromptTokenIDs = append(slices.Clone(s.Prompt), s.Prompt[i%len(s.Prompt)])
		r.Seed += int64(100 * i)
		return r
	}
	var g errgroup.Group
	g.SetLimit(rows)
	got := make([][]sampler.Rollout, rows)
	for i := range rows {
		g.Go(func() (err error) {
			got[i], err = s.Generator.Generate(t.Context(), ask(i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		s.check(t, ask(i), got[i])
		if s.Reproducible {
			if diff := cmp.Diff(tokens(s.generate(t, ask(i))), tokens(got[i])); diff != "" {
				t.Errorf("row %d differs among others (-alone +together):\n%s", i, diff)
			}
		}
	}
}

func cancelling(t *testing.T, s Subject) {
	if s.Running == nil {
		t.Skip("SKIPPED: the subject cannot tell what its server works on")
	}
	r := s.request(8, s.MaxModelLen-len(s.Prompt))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	enough := errors.New("enough")
	var g errgroup.Group
	var err error
	g.Go(func() error {
		_, err = s.Generator.Generate(ctx, r)
		return nil
	})
	awaitRunning(t, s, func(n int) bool { return n > 0 }, "to start")
	cancel(enough)
	_ = g.Wait()
	if !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled request returned %v, want the context's error", err)
	}
	awaitRunning(t, s, func(n int) bool { return n == 0 }, "to end")
}

// awaitRunning polls the server, which cannot call back.
func awaitRunning(t *testing.T, s Subject, ok func(int) bool, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := s.Running(ctx)
		if err != nil {
			t.Fatalf("waiting for requests %s: %v", what, err)
		}
		if ok(n) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited a minute for requests %s", what)
		}
	}
}

func cancelledBefore(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := s.Generator.Generate(ctx, s.request(1, 4))
	if !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("got %v, %v; want no rollouts and context.Canceled", got, err)
	}
}

func refused(t *testing.T, s Subject) {
	for name, spoil := range map[string]func(*sampler.Request){
		"no prompt":                     func(r *sampler.Request) { r.PromptTokenIDs = nil },
		"prompt outside the vocabulary": func(r *sampler.Request) { r.PromptTokenIDs = []int32{int32(s.Vocab)} },
		"prompt over the context":       func(r *sampler.Request) { r.PromptTokenIDs = make([]int32, s.MaxModelLen+1) },
		"no tokens":                     func(r *sampler.Request) { r.Params.MaxTokens = 0 },
		"samples beyond n":              func(r *sampler.Request) { r.First = 1 },
		"negative temperature":          func(r *sampler.Request) { r.Params.Temperature = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := s.request(2, 4)
			spoil(&r)
			if got, err := s.Generator.Generate(t.Context(), r); err == nil || got != nil {
				t.Errorf("got %d rollouts and error %v, want none and an error", len(got), err)
			}
		})
	}
}

func needsReproducible(t *testing.T, s Subject) {
	t.Helper()
	if !s.Reproducible {
		t.Skip("SKIPPED: this server's tokens depend on what else is in the batch")
	}
}

func tokens(rollouts []sampler.Rollout) [][]int32 {
	out := make([][]int32, len(rollouts))
	for i, r := range rollouts {
		out[i] = r.TokenIDs
	}
	return out
}
