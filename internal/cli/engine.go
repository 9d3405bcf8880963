package cli

import (
	"context"
	"errors"

	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/updater/engine"
)

// localEngine says in the local server's words what the engine does.
type localEngine struct {
	*engine.Engine
	model localserver.Model
}

var _ localserver.Engine = (*localEngine)(nil)

// Model implements localserver.Engine.
func (e *localEngine) Model() localserver.Model { return e.model }

// ResetCache implements localserver.Engine: requests share no cache.
func (e *localEngine) ResetCache() {}

// Generate implements localserver.Engine.
func (e *localEngine) Generate(ctx context.Context, r localserver.Request) ([]localserver.Sample, error) {
	q := engine.Request{
		Prompt: r.Prompt, N: r.N, Seed: r.Seed,
		Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, MinP: r.MinP,
		MaxTokens: r.MaxTokens, MinTokens: r.MinTokens, StopTokenIDs: r.StopTokenIDs, IgnoreEOS: r.IgnoreEOS,
		RepetitionPenalty: r.RepetitionPenalty, PresencePenalty: r.PresencePenalty, FrequencyPenalty: r.FrequencyPenalty,
		LogitBias: r.LogitBias, Allowed: r.Allowed, Top: r.Top,
	}
	if r.OnToken != nil {
		q.OnToken = func(sample int, t engine.Token) bool { return r.OnToken(sample, localToken(t)) }
	}
	samples, err := e.Engine.Generate(ctx, q)
	if err != nil && !errors.Is(err, localserver.ErrAborted) {
		return nil, dead(err)
	}
	out := make([]localserver.Sample, len(samples))
	for i, s := range samples {
		out[i] = localserver.Sample{Tokens: localTokens(s.Tokens), Finish: s.Finish, StopToken: s.StopToken}
	}
	return out, nil
}

// Score implements localserver.Engine.
func (e *localEngine) Score(ctx context.Context, ids []int32, top int) ([]localserver.Token, error) {
	if len(ids) < 2 {
		return nil, nil
	}
	tokens, err := e.Engine.Score(ctx, ids, top)
	return localTokens(tokens), dead(err)
}

// Freeze implements localserver.Engine.
func (e *localEngine) Freeze(on bool) { e.Engine.Freeze(on) }

// Stats implements localserver.Engine.
func (e *localEngine) Stats() localserver.Stats {
	s := e.Engine.Stats()
	return localserver.Stats{
		Running: s.Running, Waiting: s.Waiting, KVUsage: s.KVUsage,
		PromptTokens: s.PromptTokens, GeneratedTokens: s.GeneratedTokens, Preemptions: s.Preemptions,
	}
}

func dead(err error) error {
	if errors.Is(err, engine.ErrClosed) {
		return localserver.ErrDead
	}
	return err
}

func localTokens(tokens []engine.Token) []localserver.Token {
	out := make([]localserver.Token, len(tokens))
	for i, t := range tokens {
		out[i] = localToken(t)
	}
	return out
}

func localToken(t engine.Token) localserver.Token {
	out := localserver.Token{ID: t.ID, Logprob: t.Logprob, Rank: t.Rank}
	for _, c := range t.Top {
		out.Top = append(out.Top, localserver.Candidate(c))
	}
	return out
}
