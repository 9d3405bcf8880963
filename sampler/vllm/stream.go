package vllm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/splitmix"
	"github.com/justrl/justrl/sampler"
)

// DefaultStall is how long a stream may give nothing: longer than a server
// under load lets a request wait for its turn.
const DefaultStall = 5 * time.Minute

// Stream has answers come token by token, so that a cut connection does not
// lose what was sampled and a dead server is noticed. It costs the client, and
// the server, an event of 357 bytes a token in the place of 69 bytes.
type Stream struct {
	// Stall bounds the time without a byte, that before the first one
	// included; 0 is [DefaultStall].
	Stall time.Duration
	// Decode turns an answer's ids into its text, special tokens left out, as
	// the model's tokenizer does. With it, an answer that was cut goes on from
	// its prefix: the rest is asked for after prompt and tokens so far, from
	// the stream of [ContinuationSeed]. The whole is distributed as one that
	// was not cut, but is another one than the seed alone would have given, so
	// exact servers are better asked again: nil does that, with the same seed.
	Decode func(ids []int32) string
}

// ContinuationSeed is the seed for the rest of a sample of which so many tokens
// are there. It is not the sample's own: the rest would be drawn with the
// random numbers that its beginning was drawn with.
func ContinuationSeed(seed int64, tokens int) int64 {
	return int64(splitmix.Mix(splitmix.Mix(uint64(seed))^uint64(tokens)) & math.MaxInt64)
}

// StallError is the cause of a stream's end after too long a silence.
type StallError struct {
	After  time.Duration
	Tokens int // that had come by then
}

func (e *StallError) Error() string {
	return fmt.Sprintf("no byte for %s after %d tokens: the server hangs, is paused or overloaded", e.After, e.Tokens)
}

// Unwrap makes it worth another try.
func (e *StallError) Unwrap() error { return &endpoint.TimeoutError{After: e.After} }

// progress is what there is of one sample.
type progress struct {
	ids      []int32
	logprobs []float32
	text     []byte
	resumed  bool // text is not of all ids
	echo     []int32
	done     *sampler.Rollout
}

func (p *progress) forget() { *p = progress{} }

// streamed gets r's samples in streams, and goes on as long as tokens come.
func (g *Generator) streamed(ctx context.Context, r sampler.Request, f *flight) ([]sampler.Rollout, error) {
	samples := make([]progress, r.Count)
	for missing(samples) {
		err := g.o.Retry.Do(ctx, func(ctx context.Context) error {
			before := tokens(samples)
			err := g.streams(ctx, r, samples, f)
			if err != nil && tokens(samples) > before && ctx.Err() == nil && endpoint.Retryable(err) {
				if g.o.Retry.Notify != nil {
					g.o.Retry.Notify(err, 0)
				}
				return nil // it went on: the patience is for servers that do not
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("vllm: %w", err)
		}
	}
	out := make([]sampler.Rollout, r.Count)
	for i, p := range samples {
		out[i] = *p.done
		out[i].Sample = r.First + i
	}
	return out, nil
}

func missing(samples []progress) bool {
	for i := range samples {
		if samples[i].done == nil {
			return true
		}
	}
	return false
}

func tokens(samples []progress) (n int) {
	for i := range samples {
		n += len(samples[i].ids)
		if done := samples[i].done; done != nil {
			n += len(done.TokenIDs)
		}
	}
	return n
}

// streams asks for every missing sample: those without a token together, each
// of the others after its own prefix. It returns the first failure once all have ended.
func (g *Generator) streams(ctx context.Context, r sampler.Request, samples []progress, f *flight) error {
	var pool errgroup.Group
	for lo := 0; lo < len(samples); {
		hi := lo + 1
		if samples[lo].done != nil {
			lo = hi
			continue
		}
		for len(samples[lo].ids) == 0 && hi < len(samples) && samples[hi].done == nil && len(samples[hi].ids) == 0 {
			hi++
		}
		sub := r
		sub.First, sub.Count = r.First+lo, hi-lo
		part := samples[lo:hi]
		pool.Go(func() error { return g.stream(ctx, sub, part, f) })
		lo = hi
	}
	return pool.Wait()
}

// stream is one HTTP request for samples of which there is nothing, or for the rest of one.
func (g *Generator) stream(ctx context.Context, r sampler.Request, samples []progress, f *flight) error {
	body := newCompletion(g.o.Model, r)
	body.Stream = true
	if have := samples[0].ids; len(have) > 0 {
		body.Prompt = append(append(make([]int32, 0, len(r.PromptTokenIDs)+len(have)), r.PromptTokenIDs...), have...)
		body.MaxTokens -= len(have)
		body.Seed = ContinuationSeed(body.Seed, len(have))
		samples[0].resumed, samples[0].echo = true, nil
	}
	url := g.e.URL() + completionsPath
	ctx, quiet := context.WithCancelCause(ctx)
	defer quiet(nil)
	stall := g.o.Stream.Stall
	silence := time.AfterFunc(stall, func() { quiet(&StallError{After: stall}) })
	defer silence.Stop()
	in := &events{url: url}
	var gaveUp bool
	in.choice = func(c *choice) error {
		if c.Index == nil || *c.Index < 0 || *c.Index >= len(samples) {
			return fmt.Errorf("a choice has index %s, asked for %d", show(c.Index), len(samples))
		}
		if err := g.add(r, body.Prompt, &samples[*c.Index], c); err != nil {
			return fmt.Errorf("choice %d: %w", *c.Index, err)
		}
		gaveUp = gaveUp || c.FinishReason == string(sampler.FinishAbort)
		f.tokens.Add(int64(len(c.TokenIDs)))
		return nil
	}
	out := &watched{in, func() { silence.Reset(stall) }}
	err := g.e.Do(ctx, http.MethodPost, completionsPath, body, out)
	switch {
	case err != nil || !missing(samples):
	case gaveUp:
		err = sampler.Aborted(url)
	default:
		err = &endpoint.ReplyError{Method: http.MethodPost, URL: url, Err: errCut}
	}
	var stalled *StallError
	if errors.As(err, &stalled) {
		stalled.Tokens = tokens(samples)
	}
	for i := range samples {
		// The prefix of a cut answer is of use only if it can be gone on with.
		if p := &samples[i]; p.done == nil && (g.o.Stream.Decode == nil || len(p.ids) >= r.Params.MaxTokens) {
			p.forget()
		}
	}
	return err
}

// watched tells of every byte that comes.
type watched struct {
	*events
	alive func()
}

func (w *watched) ReadBody(body io.Reader) error {
	return w.events.ReadBody(&pulse{body, w.alive})
}

type pulse struct {
	io.Reader
	alive func()
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.alive()
	}
	return n, err
}

// add appends a piece of a sample, and checks the whole at its end.
func (g *Generator) add(r sampler.Request, prompt []int32, p *progress, c *choice) error {
	if p.done != nil {
		return errors.New("goes on after its finish_reason")
	}
	if err := sampler.CheckTokens(c.TokenIDs, len(p.ids), g.o.Vocab); err != nil { // before they can be sent back
		return err
	}
	if len(p.ids)+len(c.TokenIDs) > r.Params.MaxTokens {
		return fmt.Errorf("%d tokens, over max_tokens %d", len(p.ids)+len(c.TokenIDs), r.Params.MaxTokens)
	}
	p.ids = append(p.ids, c.TokenIDs...)
	p.text = append(p.text, c.Text...)
	if c.PromptTokenIDs != nil {
		p.echo = c.PromptTokenIDs
	}
	if c.Logprobs != nil {
		p.logprobs = append(p.logprobs, c.Logprobs.TokenLogprobs...)
	}
	if r.Params.Logprobs && len(p.logprobs) != len(p.ids) {
		return fmt.Errorf("%d token_logprobs for %d token_ids", len(p.logprobs), len(p.ids))
	}
	switch sampler.FinishReason(c.FinishReason) {
	case "":
		return nil
	case sampler.FinishAbort:
		p.forget() // what it was sampled with may be about to change
		return nil
	}
	whole := choice{Text: string(p.text), FinishReason: c.FinishReason, TokenIDs: exact(p.ids), PromptTokenIDs: p.echo}
	if p.resumed {
		whole.Text = g.o.Stream.Decode(whole.TokenIDs)
	}
	if c := p.logprobs; c != nil {
		whole.Logprobs = &logprobs{TokenLogprobs: exact(c)}
	}
	asked := r
	asked.PromptTokenIDs = prompt
	rollout, err := g.rollout(asked, &whole)
	if err != nil {
		return err
	}
	*p = progress{done: &rollout}
	return nil
}
