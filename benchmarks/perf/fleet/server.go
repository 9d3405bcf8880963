// Package fleet measures sampler/fleet, as ratios (scripts/bench-fleet):
//
//   - how long a batch takes over 64 simulated servers of 64 streams, against
//     the least that any schedule could take. The servers live in virtual time
//     (testing/synctest), so that the figure is the schedule's and has no noise;
//   - how long a control call takes while the data streams of a server are at
//     work, against an idle server, over real HTTP.
//
// It is all in tests, where virtual time is to be had; what is here is the
// workload.
package fleet

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler"
)

// maxTokens is where answers are cut.
const maxTokens = 16384

// Lengths is a log-normal distribution of response tokens, cut at 16,384, in
// which the answers to one problem are alike: JustRL's answers have a mean of
// some thousand tokens and a tail as long as they are let.
type Lengths struct {
	Median  float64
	Between float64 // standard deviation of the logarithm between problems
	Within  float64 // and between the answers to one
	Seed    uint64
}

// DefaultLengths have a mean of 4,200 tokens; 2.4 % are cut.
var DefaultLengths = Lengths{Median: 3000, Between: 0.7, Within: 0.5, Seed: 1}

// Tokens is the length of an answer to a problem.
func (l Lengths) Tokens(problem, answer int64) int {
	between := normal(l.Seed, uint64(problem))
	within := normal(l.Seed+1, uint64(problem)*1_000_003+uint64(answer))
	x := l.Median * math.Exp(l.Between*between+l.Within*within)
	return max(1, min(maxTokens, int(x)))
}

func normal(seed, i uint64) float64 { return rand.New(rand.NewPCG(seed, i)).NormFloat64() }

// tokens is what every answer begins with: nobody looks at it.
var tokens = make([]int32, maxTokens)

// Server has so many streams, each of which makes a token in Token's time;
// what is more waits in the order of arrival.
type Server struct {
	Token   time.Duration
	Lengths Lengths
	streams chan struct{}
}

// NewServer makes a Server.
func NewServer(streams int, token time.Duration, l Lengths) *Server {
	return &Server{Token: token, Lengths: l, streams: make(chan struct{}, streams)}
}

// Generate implements [sampler.Generator]. The problem is the prompt's first
// token, the answer the stream's number.
func (s *Server) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	out := make([]sampler.Rollout, r.Count)
	var g errgroup.Group
	for i := range out {
		n := s.Lengths.Tokens(int64(r.PromptTokenIDs[0]), r.Seed+int64(r.First+i))
		out[i] = sampler.Rollout{Sample: r.First + i, TokenIDs: tokens[:n], FinishReason: sampler.FinishStop}
		g.Go(func() error { return s.stream(ctx, time.Duration(n)*s.Token) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Server) stream(ctx context.Context, d time.Duration) error {
	select {
	case s.streams <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.streams }()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
