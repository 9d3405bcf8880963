// Package ollama samples from an Ollama server, which neither takes nor gives
// token ids: prompts go as their text over /api/generate in raw mode, and
// answers are tokenized here.
//
// An answer's ids are read off the pieces of text that come with its
// log-probs, one a token; where a piece does not tell its id (half a character,
// or an Ollama that gives no pieces), the text is encoded again and must agree
// with all that is known. An answer of which that fails is not used: its sample
// is asked for again under another seed, and counted ([Generator.Stats]). What
// is trained on is therefore drawn from the policy given that its tokens can be
// told. See docs/servers.md for what that costs.
//
// Deliberately absent: log-probs of sampled tokens. Ollama gives none for the
// token that ends an answer, so that a rollout's cannot be complete; the
// updater recomputes them.
package ollama

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ollama/ollama/api"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Generator)(nil)

// Defaults of [Options].
const (
	DefaultConcurrency = 16
	DefaultTries       = 8
)

// Tokenizer is the model's, as sampler/tokenizer has it. It is safe for concurrent use.
type Tokenizer interface {
	// Encode gives the ids of text, special tokens in it recognised, nothing added.
	Encode(text string) []int32
	// Decode gives the text of ids, special tokens left out if skipSpecial.
	Decode(ids []int32, skipSpecial bool) string
}

// Options are a Generator's and a Scorer's settings.
type Options struct {
	// Model is the served model's name; required ([Probe] lists the names).
	Model string
	// Tokenizer is the model's; required.
	Tokenizer Tokenizer
	// Vocab is the number of ids the model knows, its config's vocab_size; required.
	Vocab int
	// EndTokenID ends an answer that ended by itself. Ollama does not say which
	// of several end tokens did: give the model's first.
	EndTokenID int32
	// Context is the most tokens of a prompt and its answer; required. It is sent as
	// num_ctx with every request, as another one would have Ollama load the model
	// anew, and must not be over the model's own.
	Context int
	// Concurrency is the number of requests at a time, each for one sample, over
	// all calls of Generate; 0 is 16. An Ollama works on OLLAMA_NUM_PARALLEL of
	// them (1, if nobody set it) and lets the others wait.
	Concurrency int
	// Tries is how often a sample is asked for, each time under another seed,
	// until an answer's tokens can be told; 0 is 8. Then Generate fails.
	Tries int
	// Retry is how a failed request is tried again, under the same seed.
	Retry endpoint.Retry
}

func (o Options) withDefaults() (Options, error) {
	if o.Model == "" || o.Tokenizer == nil {
		return o, errors.New("ollama: needs a served model's name and its tokenizer")
	}
	if o.Vocab < 1 || o.Context < 2 || o.Concurrency < 0 || o.Tries < 0 {
		return o, fmt.Errorf("ollama: vocabulary %d, context %d, concurrency %d or tries %d is out of range", o.Vocab, o.Context, o.Concurrency, o.Tries)
	}
	if o.EndTokenID < 0 || int(o.EndTokenID) >= o.Vocab {
		return o, fmt.Errorf("ollama: end token %d is outside the vocabulary of %d", o.EndTokenID, o.Vocab)
	}
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Tries == 0 {
		o.Tries = DefaultTries
	}
	return o, nil
}

// Generator is a [sampler.Generator] for one model of one Ollama server.
type Generator struct {
	c      *client
	o      Options
	pieces map[string]int32
	slots  chan struct{}
	begins atomic.Bool // the server puts the model's begin token before every prompt

	mu    sync.Mutex
	stats Stats
}

// Stats counts answers since the Generator was made.
type Stats struct {
	// Answers is how many came, those that were not used included.
	Answers int64 `json:"answers"`
	// Mismatched is how many of them were not used, as their tokens could not be told.
	Mismatched int64 `json:"mismatched"`
	// Uncanonical is how many were used although encoding their text gives
	// other tokens: the server's pieces told which were sampled.
	Uncanonical int64 `json:"uncanonical"`
}

// New makes a Generator; it sends nothing.
func New(e *endpoint.Endpoint, o Options) (*Generator, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := newClient(e)
	if err != nil {
		return nil, err
	}
	return &Generator{c: c, o: o, pieces: pieces(o.Tokenizer, o.Vocab), slots: make(chan struct{}, o.Concurrency)}, nil
}

// Stats is what was counted so far. It is safe for concurrent use.
func (g *Generator) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats
}

// Generate implements [sampler.Generator], with one HTTP request a sample. Log-probs
// are nil even where r asks for them. Sample j is asked for under a seed of 31 bits
// that is made of r.Seed + j alone, and again under a second, third, … made of it
// while its answer's tokens cannot be told.
//
// A token of r.Params.StopTokenIDs ends a rollout here, not on the server, which
// goes on to its own end.
func (g *Generator) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("ollama: request: %w", err)
	}
	prompt, err := g.prompt(r.PromptTokenIDs)
	if err != nil {
		return nil, fmt.Errorf("ollama: %w", err)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("ollama: %w", err)
	}
	out := make([]sampler.Rollout, r.Count)
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(g.o.Concurrency)
	for i := range out {
		work.Go(func() (err error) {
			out[i], err = g.sample(ctx, r, prompt, r.First+i)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, fmt.Errorf("ollama: %w", err)
	}
	return out, nil
}

// prompt is the text that the server must read as ids.
func (g *Generator) prompt(ids []int32) (string, error) {
	if err := sampler.CheckPrompt(ids, g.o.Vocab); err != nil {
		return "", err
	}
	if len(ids) >= g.o.Context {
		return "", fmt.Errorf("the prompt has %d tokens, which leaves no room in a context of %d", len(ids), g.o.Context)
	}
	text := g.o.Tokenizer.Decode(ids, false)
	if !slices.Equal(g.o.Tokenizer.Encode(text), ids) {
		return "", fmt.Errorf("the prompt's %d tokens are not those of their text, and Ollama takes nothing but text", len(ids))
	}
	return text, nil
}

// sample gets one sample, under one seed after the other until its tokens can be told.
func (g *Generator) sample(ctx context.Context, r sampler.Request, prompt string, sample int) (sampler.Rollout, error) {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return sampler.Rollout{}, context.Cause(ctx)
	}
	var why error
	for try := range g.o.Tries {
		reply, err := g.answer(ctx, r, prompt, seed(r.Seed+int64(sample), try))
		if err != nil {
			return sampler.Rollout{}, fmt.Errorf("sample %d: %w", sample, err)
		}
		tokens, err := g.tokens(reply)
		g.count(tokens, err)
		if err != nil {
			why = err
			continue
		}
		out, err := g.rollout(r, reply, tokens.ids)
		if err != nil {
			return sampler.Rollout{}, fmt.Errorf("sample %d: %w", sample, g.c.badReply(generatePath, err))
		}
		out.Sample = sample
		return out, nil
	}
	return sampler.Rollout{}, fmt.Errorf("sample %d: %w", sample, g.c.badReply(generatePath, fmt.Errorf("of %d answers under %d seeds none can be tokenized as it was sampled: %w", g.o.Tries, g.o.Tries, why)))
}

func (g *Generator) count(t told, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.Answers++
	switch {
	case err != nil:
		g.stats.Mismatched++
	case !t.canonical:
		g.stats.Uncanonical++
	}
}

// answer is one answer whose prompt the server read as r's tokens.
func (g *Generator) answer(ctx context.Context, r sampler.Request, prompt string, seed int64) (*api.GenerateResponse, error) {
	return g.answerTop(ctx, r, prompt, seed, 0)
}

// answerTop is an answer with the log-probs of the top likeliest tokens of each position.
func (g *Generator) answerTop(ctx context.Context, r sampler.Request, prompt string, seed int64, top int) (*api.GenerateResponse, error) {
	ids := r.PromptTokenIDs
	for {
		begins, text := g.begins.Load(), prompt
		if begins {
			text = g.o.Tokenizer.Decode(ids[1:], false)
		}
		reply, err := g.c.generate(ctx, g.o, g.request(r, text, seed, top))
		if err != nil {
			return nil, err
		}
		switch read := reply.PromptEvalCount; {
		case read == len(ids):
			return reply, nil
		case read == len(ids)+1 && !begins && len(ids) > 1:
			if err := g.leaveBegin(ctx, ids[0]); err != nil {
				return nil, err
			}
		default:
			return nil, g.c.badReply(generatePath, fmt.Errorf("the server read the prompt's %d tokens as %d: it serves another model, or tokenizes differently", len(ids), read))
		}
	}
}

// leaveBegin leaves the begin token, with which prompts begin whose chat template
// writes it, to a server that puts it there as well.
func (g *Generator) leaveBegin(ctx context.Context, first int32) error {
	show, err := g.c.show(ctx, g.o.Retry, g.o.Model, false)
	if err != nil {
		return err
	}
	if begin, given := show.ModelInfo["tokenizer.ggml.bos_token_id"].(float64); !given || int32(begin) != first {
		return g.c.badReply(generatePath, errors.New("the server reads one token more than the prompt's: it puts a token before prompts that the run's chat template does not write"))
	}
	g.begins.Store(true)
	return nil
}

func (g *Generator) rollout(r sampler.Request, reply *api.GenerateResponse, ids []int32) (sampler.Rollout, error) {
	out := sampler.Rollout{TokenIDs: ids, FinishReason: sampler.FinishReason(reply.DoneReason)}
	if err := sampler.CheckTokens(ids, 0, g.o.Vocab); err != nil {
		return out, err
	}
	if len(ids) > r.Params.MaxTokens {
		return out, fmt.Errorf("%d tokens, over num_predict %d", len(ids), r.Params.MaxTokens)
	}
	if i := slices.IndexFunc(ids, func(id int32) bool { return slices.Contains(r.Params.StopTokenIDs, id) }); i >= 0 {
		out.TokenIDs, out.FinishReason = ids[:i+1], sampler.FinishStop
	}
	out.Text = g.o.Tokenizer.Decode(out.TokenIDs, true)
	return out, nil
}
