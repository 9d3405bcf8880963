package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Defaults of Options.
const (
	DefaultMaxSequences = 256
	DefaultMaxRows      = 512
)

// Options are an Engine's settings.
type Options struct {
	// EOS are the tokens that end a sample.
	EOS []int32
	// MaxLen is the context: tokens of prompt and answer together, ≥ 2. The
	// model's cache must have room for one such sequence.
	MaxLen int
	// MaxSequences is how many samples run at a time; 0 is 256.
	MaxSequences int
	// MaxRows is how many tokens one pass may have, so that a long prompt does
	// not hold everybody up; 0 is 512. At least MaxSequences.
	MaxRows int
	// Processed makes log-probs those of the distribution that is drawn from
	// (after temperature and truncation), not the model's own.
	Processed bool
}

// ErrClosed is the answer to whoever asks a closed engine.
var ErrClosed = errors.New("engine: closed")

// Engine runs requests. Its methods are safe for concurrent use.
type Engine struct {
	model Model
	vocab int
	o     Options
	group errgroup.Group

	mu       sync.Mutex
	changed  *sync.Cond // what is below
	incoming []*request
	controls []func()
	cancels  int // requests that were cancelled since the loop last looked
	closed   bool
	stats    Stats

	// Owned by the loop.
	pool     *pool
	frozen   bool
	waiting  []*request // oldest first
	admitted []*request // oldest first
	arrived  int
	starved  bool  // a sequence found no room in the cache
	totals   Stats // the counts that only grow
	batch    Batch
	draws    []Draw
	drawn    []*sequence // whose draw is draws[i]
	planned  []*sequence
	ended    []*request // that have not been told yet
}

// Stats is what an engine is doing, and has done since it started.
type Stats struct {
	Running, Waiting int     // samples
	KVUsage          float64 // share of the cache's blocks that are in use
	PromptTokens     int64
	GeneratedTokens  int64
	Preemptions      int64 // sequences that lost their part of the cache to older ones
}

// New starts an engine; the caller closes it, and the model after it.
func New(m Model, o Options) (*Engine, error) {
	if o.MaxSequences == 0 {
		o.MaxSequences = DefaultMaxSequences
	}
	if o.MaxRows == 0 {
		o.MaxRows = max(DefaultMaxRows, o.MaxSequences)
	}
	if o.MaxLen < 2 || o.MaxSequences < 1 || o.MaxRows < o.MaxSequences {
		return nil, fmt.Errorf("engine: a context of %d tokens, %d sequences and %d rows a pass: want at least 2, 1 and as many rows as sequences", o.MaxLen, o.MaxSequences, o.MaxRows)
	}
	// A request's shared prompt needs blocks beside its first sample's.
	if need := blocksFor(o.MaxLen) + 1; m.Blocks() < need {
		return nil, fmt.Errorf("engine: the cache has room for %d tokens, a context of %d needs %d: give it more memory or shorten the context", m.Blocks()*BlockTokens, o.MaxLen, need*BlockTokens)
	}
	e := &Engine{model: m, vocab: m.Vocab(), o: o, pool: newPool(m.Blocks())}
	e.changed = sync.NewCond(&e.mu)
	e.group.Go(func() error {
		e.loop()
		return nil
	})
	return e, nil
}

// Generate blocks until all of q's samples have ended and returns them in
// order. When ctx ends first, it returns what there is of them, unfinished ones
// with FinishAbort, and ctx's cause.
func (e *Engine) Generate(ctx context.Context, q Request) ([]Sample, error) {
	r, err := e.newRequest(q)
	if err != nil {
		return nil, err
	}
	return r.samples, e.run(ctx, r)
}

// Score returns, for each of ids but the first, its log-prob given those
// before it, with its rank and the top most likely tokens in its place.
// len(ids) must be ≥ 2 and at most the context.
func (e *Engine) Score(ctx context.Context, ids []int32, top int) ([]Token, error) {
	if err := e.checkPrompt(ids); err != nil {
		return nil, err
	}
	if len(ids) < 2 || len(ids) > e.o.MaxLen {
		return nil, fmt.Errorf("engine: score %d tokens: want from 2 to the context's %d", len(ids), e.o.MaxLen)
	}
	r := &request{Request: Request{Prompt: ids, Top: top}, scoring: true, left: 1, done: make(chan struct{})}
	r.prompt = &sequence{r: r, sample: -1, tokens: ids[:len(ids)-1]}
	err := e.run(ctx, r)
	if err != nil {
		return nil, err
	}
	return r.scored, nil
}

func (e *Engine) run(ctx context.Context, r *request) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.incoming = append(e.incoming, r)
	e.changed.Broadcast()
	e.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		r.cancelled.Store(true)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.cancels++
		e.changed.Broadcast()
	})
	<-r.done // the loop ends every request, also a cancelled one
	stop()
	if r.err == nil && r.left > 0 {
		return context.Cause(ctx)
	}
	return r.err
}

// Freeze(true) returns when no token will be drawn until Freeze(false);
// requests wait where they are.
func (e *Engine) Freeze(on bool) { _ = e.control(func() { e.frozen = on }) }

// Load replaces the weights by those of a folder, all or, on an error, none.
// Requests under way go on with the new ones: what they have of the cache is
// computed again.
func (e *Engine) Load(_ context.Context, dir string) (err error) {
	closed := e.control(func() {
		if err = e.model.Load(dir); err == nil {
			e.forget()
		}
	})
	return errors.Join(closed, err)
}

// Checksums are the SHA-256 of the weights in hex, by tensor name.
func (e *Engine) Checksums(_ context.Context) (sums map[string]string, err error) {
	closed := e.control(func() { sums, err = e.model.Checksums() })
	return sums, errors.Join(closed, err)
}

// Stats says what the engine was doing after its last pass.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	for _, r := range e.incoming {
		s.Waiting += len(r.samples)
	}
	return s
}

// control runs f between two passes.
func (e *Engine) control(f func()) error {
	done := make(chan struct{})
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.controls = append(e.controls, func() {
		f()
		close(done)
	})
	e.changed.Broadcast()
	e.mu.Unlock()
	<-done
	return nil
}

// Close ends what is under way with ErrClosed, and returns when nothing runs
// any more. It is safe to call twice.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.changed.Broadcast()
	e.mu.Unlock()
	return e.group.Wait()
}

// loop is the engine's goroutine.
func (e *Engine) loop() {
	for {
		e.mu.Lock()
		for !e.closed && len(e.incoming)+len(e.controls)+e.cancels == 0 && !e.busy() {
			e.changed.Wait()
		}
		for _, r := range e.incoming {
			r.number = e.arrived
			e.arrived++
		}
		e.waiting = append(e.waiting, e.incoming...)
		controls, cancelled, closed := e.controls, e.cancels > 0, e.closed
		e.incoming, e.controls, e.cancels = nil, nil, 0
		e.mu.Unlock()

		for _, f := range controls {
			f()
		}
		if closed {
			e.endAll(ErrClosed)
			e.publish()
			return
		}
		if cancelled {
			e.dropCancelled()
		}
		if e.busy() {
			e.pass()
		}
		e.publish()
	}
}

// busy tells whether a pass has something to do.
func (e *Engine) busy() bool { return !e.frozen && len(e.waiting)+len(e.admitted) > 0 }

// publish makes the loop's state visible to Stats, then tells those whose
// request has ended: who was answered is no longer counted.
func (e *Engine) publish() {
	e.count()
	for _, r := range e.ended {
		close(r.done)
	}
	e.ended = e.ended[:0]
}

func (e *Engine) count() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats = e.totals
	e.stats.KVUsage = e.pool.usage()
	for _, r := range e.waiting {
		e.stats.Waiting += len(r.samples)
	}
	for _, r := range e.admitted {
		e.stats.Running += len(r.running)
		e.stats.Waiting += len(r.samples) - r.next
	}
}

// end finishes a request; its sequences let go of the cache. Whoever asked is
// told by publish.
func (e *Engine) end(r *request, err error) {
	if r.prompt != nil {
		e.drop(r.prompt)
	}
	for _, s := range r.running {
		e.drop(s)
	}
	r.running, r.prompt, r.err = nil, nil, err
	e.ended = append(e.ended, r)
}

func (e *Engine) endAll(err error) {
	for _, r := range slices.Concat(e.admitted, e.waiting) {
		e.end(r, err)
	}
	e.admitted, e.waiting = nil, nil
}

func (e *Engine) dropCancelled() {
	gone := func(r *request) bool {
		if r.cancelled.Load() {
			e.end(r, nil)
			return true
		}
		return false
	}
	e.admitted = slices.DeleteFunc(e.admitted, gone)
	e.waiting = slices.DeleteFunc(e.waiting, gone)
}

// drop takes s's part of the cache.
func (e *Engine) drop(s *sequence) {
	e.pool.release(s.blocks)
	s.blocks, s.cached = s.blocks[:0], 0
}

// forget makes every sequence compute its part of the cache again.
func (e *Engine) forget() {
	for _, r := range e.admitted {
		if r.prompt != nil {
			e.drop(r.prompt)
			r.scored = nil
		}
		for _, s := range r.running {
			e.drop(s)
		}
	}
}
