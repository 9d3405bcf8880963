package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/splitmix"
)

const toyVocab = 50

func plain(prompt ...int32) Request {
	return Request{Prompt: prompt, N: 1, Seed: 5, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 20, RepetitionPenalty: 1}
}

// open starts an engine over a toy and, at the end, checks that everything was given back.
func open(t *testing.T, m *toy, o Options) *Engine {
	t.Helper()
	e, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if free := len(e.pool.free); free != m.Blocks() {
			t.Errorf("%d of %d blocks are free at the end", free, m.Blocks())
		}
	})
	return e
}

// some makes a request that depends on i alone.
func some(i int) Request {
	rng := rand.New(rand.NewPCG(7, uint64(i)))
	q := plain()
	for range 1 + rng.IntN(40) {
		q.Prompt = append(q.Prompt, rng.Int32N(toyVocab))
	}
	q.N, q.Seed, q.MaxTokens = 1+rng.IntN(5), rng.Int64N(1<<40), 1+rng.IntN(60)
	switch rng.IntN(5) {
	case 0:
		q.N, q.Temperature = 1, 0
	case 1:
		q.Temperature, q.TopK = 0.7, 5
	case 2:
		q.TopP, q.MinP = 0.8, 0.05
	case 3:
		q.StopTokenIDs, q.MinTokens = []int32{4, 9}, min(q.MaxTokens, 6)
	}
	return q
}

// TestSamplesDependOnNothingElse: whatever the sizes of the engine, however
// little memory there is, and whoever else asks at the same time, every sample
// is the one that the definition gives.
func TestSamplesDependOnNothingElse(t *testing.T) {
	const requests = 60
	for _, c := range []struct {
		name              string
		blocks, seqs, row int
		preempts          bool
	}{
		{"one at a time", 200, 1, 4, false},
		{"few", 200, 3, 8, false},
		{"many", 2000, 256, 512, false},
		{"prompts in pieces", 2000, 16, 16, false},
		{"hardly any memory", 8, 64, 64, true},
		{"little memory", 20, 64, 64, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newToy(t, toyVocab, c.blocks)
			o := Options{EOS: []int32{1, 2}, MaxLen: 100, MaxSequences: c.seqs, MaxRows: c.row}
			e := open(t, m, o)
			var g errgroup.Group
			for i := range requests {
				g.Go(func() error {
					q := some(i)
					got, err := e.Generate(t.Context(), q)
					if err != nil {
						return fmt.Errorf("request %d: %w", i, err)
					}
					for j := range q.N {
						if diff := cmp.Diff(reference(1, toyVocab, o, q, j), got[j]); diff != "" {
							return fmt.Errorf("request %d, sample %d (-want +got):\n%s", i, j, diff)
						}
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if s := e.Stats(); (s.Preemptions > 0) != c.preempts {
				t.Errorf("%d preemptions, the case is meant to have some: %t", s.Preemptions, c.preempts)
			}
		})
	}
}

// TestEverythingEnds: combinations in which sequences wait for one another's
// places or blocks.
func TestEverythingEnds(t *testing.T) {
	long := func(n int) []int32 { return make([]int32, n) }
	for _, c := range []struct {
		name     string
		blocks   int
		o        Options
		requests []Request
	}{
		{"a prompt in pieces, and a later request for all places", 9, Options{MaxLen: 128, MaxSequences: 3, MaxRows: 16},
			[]Request{{Prompt: long(100), N: 2, MaxTokens: 20}, {Prompt: long(1), N: 4, MaxTokens: 120, IgnoreEOS: true}}},
		{"many two-token prompts beside many samples", 2000, Options{MaxLen: 128, MaxSequences: 16, MaxRows: 16},
			[]Request{{Prompt: long(1), N: 20, MaxTokens: 30}, {Prompt: long(2), N: 2, MaxTokens: 2}, {Prompt: long(2), N: 2, MaxTokens: 2}, {Prompt: long(2), N: 30, MaxTokens: 2}}},
		{"more samples than blocks", 9, Options{MaxLen: 128, MaxSequences: 50, MaxRows: 64},
			[]Request{{Prompt: long(120), N: 50, MaxTokens: 8}, {Prompt: long(17), N: 50, MaxTokens: 100}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newToy(t, toyVocab, c.blocks)
			most := 0
			m.before = func(b *Batch) { most = max(most, len(b.IDs)) }
			e := open(t, m, c.o)
			reached, release := make(chan struct{}), make(chan struct{})
			first := plain(1)
			first.MaxTokens = 1
			first.OnToken = func(int, Token) bool { close(reached); <-release; return true }
			var g errgroup.Group
			g.Go(func() error { _, err := e.Generate(t.Context(), first); return err })
			<-reached // all the others arrive in the same pass
			for i, q := range c.requests {
				q.Temperature, q.TopP, q.TopK, q.RepetitionPenalty, q.Seed = 1, 1, -1, 1, 9
				g.Go(func() error {
					got, err := e.Generate(t.Context(), q)
					if err == nil && !cmp.Equal(got[q.N-1], reference(1, toyVocab, c.o, q, q.N-1)) {
						err = fmt.Errorf("request %d: other tokens", i)
					}
					return err
				})
				for e.waitingRequests() <= i {
					runtime.Gosched()
				}
			}
			close(release)
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if most > e.o.MaxRows {
				t.Errorf("a pass of %d rows, at most %d", most, e.o.MaxRows)
			}
		})
	}
}

func (e *Engine) waitingRequests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.incoming)
}

func TestBatchesAreShared(t *testing.T) {
	m := newToy(t, toyVocab, 1000)
	e := open(t, m, Options{MaxLen: 200})
	q := plain(1, 2, 3, 4, 5, 6, 7, 8, 9)
	q.N, q.MaxTokens = 64, 50
	if _, err := e.Generate(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	// One pass for the prompt, then one for each token of all samples.
	if m.passes != 51 {
		t.Errorf("%d passes for 64 samples of 50 tokens, want 51", m.passes)
	}
}

func TestScore(t *testing.T) {
	m := newToy(t, toyVocab, 40)
	e := open(t, m, Options{MaxLen: 300, MaxSequences: 4, MaxRows: 90})
	var ids []int32
	for i := range 250 {
		ids = append(ids, int32(i*7%toyVocab))
	}
	var g errgroup.Group
	for range 3 { // more than the cache holds
		g.Go(func() error {
			got, err := e.Score(t.Context(), ids, 2)
			if err != nil {
				return err
			}
			h := uint64(1)
			for i, tok := range got {
				h = splitmix.Mix(h ^ uint64(ids[i]))
				row := toyLogits(h, toyVocab, false)
				best := slices.Index(row, slices.Max(row))
				want := float64(row[ids[i+1]]) - logSumExp(row)
				if tok.ID != ids[i+1] || tok.Logprob != want || len(tok.Top) != 2 || tok.Top[0].ID != int32(best) || tok.Top[1].Rank != 2 {
					return fmt.Errorf("position %d: %+v, want token %d with %v and best %d", i, tok, ids[i+1], want, best)
				}
			}
			if len(got) != len(ids)-1 {
				return fmt.Errorf("%d scores of %d tokens", len(got), len(ids))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// gateAt lets a model's passes through until the n-th, then waits for release.
func gateAt(m *toy, n int) (reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	m.before = func(*Batch) {
		if m.passes == n {
			close(reached)
			<-release
		}
	}
	return reached, release
}

func TestCancel(t *testing.T) {
	m := newToy(t, toyVocab, 100)
	e := open(t, m, Options{MaxLen: 500})
	reached, release := gateAt(m, 10)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	q := plain(1, 2, 3)
	q.N, q.MaxTokens = 2, 400
	var g errgroup.Group
	var got []Sample
	var err error
	g.Go(func() error {
		got, err = e.Generate(ctx, q)
		return nil
	})
	<-reached
	cancel(enough)
	close(release)
	_ = g.Wait()
	if !errors.Is(err, enough) {
		t.Errorf("error is %v, want the context's cause", err)
	}
	o := Options{MaxLen: 500}
	for j, s := range got {
		want := reference(1, toyVocab, o, q, j)
		if n := len(s.Tokens); s.Finish != FinishAbort || n < 8 || n == q.MaxTokens || !cmp.Equal(s.Tokens, want.Tokens[:n]) {
			t.Errorf("sample %d ends with %q after %d tokens, or has others than it should", j, s.Finish, n)
		}
	}
	// A request that was cancelled while it waited has nothing, and whoever comes next is served.
	done, cancel2 := context.WithCancel(t.Context())
	cancel2()
	if got, err := e.Generate(done, q); !errors.Is(err, context.Canceled) || len(got) != q.N || got[0].Finish != FinishAbort {
		t.Errorf("cancelled before: %v, %v", got, err)
	}
	if _, err := e.Generate(t.Context(), plain(4)); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
	if s := e.Stats(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("%+v after everything ended", s)
	}
}

// TestLoadUnderWay: a request goes on with the new weights, from a cache that
// was computed with them.
func TestLoadUnderWay(t *testing.T) {
	m := newToy(t, toyVocab, 100)
	e := open(t, m, Options{MaxLen: 500})
	reached, release := gateAt(m, 30)
	q := plain(1, 2, 3, 4)
	q.MaxTokens = 60
	var g errgroup.Group
	var got []Sample
	g.Go(func() (err error) {
		got, err = e.Generate(t.Context(), q)
		return err
	})
	<-reached
	g.Go(func() error { return e.Load(t.Context(), "2") })
	e.awaitControl()
	close(release)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// What it drew before is as the old weights have it; what follows continues it with the new ones.
	old := reference(1, toyVocab, Options{MaxLen: 500}, q, 0)
	at := 0
	for at < len(got[0].Tokens) && got[0].Tokens[at].ID == old.Tokens[at].ID {
		at++
	}
	if at < 25 || at == len(got[0].Tokens) {
		t.Fatalf("the answers part at token %d", at)
	}
	// The cells' weights are checked in the toy's Forward.
	if err := e.Load(t.Context(), ""); err == nil {
		t.Error("loading nothing succeeded")
	}
	if sums, err := e.Checksums(t.Context()); err != nil || sums["w"] != "2" {
		t.Errorf("checksums %v, %v after a failed load", sums, err)
	}
	again, err := e.Generate(t.Context(), q)
	if want := reference(2, toyVocab, Options{MaxLen: 500}, q, 0); err != nil || !cmp.Equal(again[0], want) {
		t.Errorf("after the load: %v (-want +got)\n%s", err, cmp.Diff(want, again[0]))
	}
}

func TestFreeze(t *testing.T) {
	m := newToy(t, toyVocab, 100)
	e := open(t, m, Options{MaxLen: 500})
	reached, release := gateAt(m, 10)
	var drawn atomic.Int64
	q := plain(1, 2, 3)
	q.MaxTokens = 300
	q.OnToken = func(int, Token) bool { drawn.Add(1); return false }
	var g errgroup.Group
	g.Go(func() error {
		_, err := e.Generate(t.Context(), q)
		return err
	})
	<-reached
	var frozen errgroup.Group
	frozen.Go(func() error { e.Freeze(true); return nil })
	e.awaitControl()
	close(release)
	_ = frozen.Wait()
	before := drawn.Load()
	if _, err := e.Checksums(t.Context()); err != nil { // the loop goes round
		t.Error(err)
	}
	if now := drawn.Load(); now != before || now >= 300 {
		t.Errorf("%d tokens when frozen, %d a moment later", before, now)
	}
	e.Freeze(false)
	if err := g.Wait(); err != nil || drawn.Load() != 300 {
		t.Errorf("%d tokens in the end, %v", drawn.Load(), err)
	}
}

// awaitControl returns when somebody waits for the end of the pass under way.
func (e *Engine) awaitControl() {
	for waiting := false; !waiting; runtime.Gosched() {
		e.mu.Lock()
		waiting = len(e.controls) > 0
		e.mu.Unlock()
	}
}

func TestOnTokenEnds(t *testing.T) {
	e := open(t, newToy(t, toyVocab, 100), Options{MaxLen: 500})
	q := plain(1, 2, 3)
	q.N = 3
	var told [3][]int32
	q.OnToken = func(j int, tok Token) bool {
		told[j] = append(told[j], tok.ID)
		return len(told[j]) == 4+j
	}
	got, err := e.Generate(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for j, s := range got {
		var ids []int32
		for _, tok := range s.Tokens {
			ids = append(ids, tok.ID)
		}
		if len(ids) != 4+j || s.Finish != FinishStop || s.StopToken != -1 || !slices.Equal(ids, told[j]) {
			t.Errorf("sample %d: %v (%s), told %v", j, ids, s.Finish, told[j])
		}
	}
}

func TestAdjustments(t *testing.T) {
	e := open(t, newToy(t, toyVocab, 100), Options{MaxLen: 500, EOS: []int32{1}})
	ids := func(change func(*Request)) []int32 {
		q := plain(1, 2, 3)
		q.MaxTokens = 40
		change(&q)
		got, err := e.Generate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var out []int32
		for _, tok := range got[0].Tokens {
			out = append(out, tok.ID)
		}
		return out
	}
	distinct := func(ids []int32) int {
		slices.Sort(ids)
		return len(slices.Compact(ids))
	}
	for _, id := range ids(func(q *Request) { q.Allowed = []int32{7, 30} }) {
		if id != 7 && id != 30 {
			t.Errorf("token %d is not allowed", id)
		}
	}
	if got := ids(func(q *Request) { q.LogitBias = map[int32]float32{9: 100}; q.MaxTokens = 5 }); !slices.Equal(got, []int32{9, 9, 9, 9, 9}) {
		t.Errorf("a bias of 100 on token 9 gives %v", got)
	}
	if got := ids(func(q *Request) { q.FrequencyPenalty = 100; q.IgnoreEOS = true }); distinct(got) != 40 {
		t.Errorf("with a frequency penalty of 100 only %d of 40 tokens are distinct", distinct(got))
	}
	if got := ids(func(q *Request) { q.PresencePenalty = 100; q.IgnoreEOS = true }); distinct(got) != 40 {
		t.Errorf("with a presence penalty of 100 only %d of 40 tokens are distinct", distinct(got))
	}
	if got := ids(func(q *Request) { q.RepetitionPenalty = 1e9; q.IgnoreEOS = true; q.Temperature = 0; q.MaxTokens = 20 }); distinct(got) != 20 || slices.Contains(got, 2) {
		t.Errorf("with a huge repetition penalty: %v", got)
	}
	for _, penalty := range []float64{1e-300, 1e-38, 1e300} { // no number overflows, and what is excluded stays so
		for _, id := range ids(func(q *Request) { q.Allowed = []int32{2, 7}; q.RepetitionPenalty = penalty }) {
			if id != 2 && id != 7 {
				t.Errorf("repetition penalty %g: token %d is not allowed", penalty, id)
			}
		}
	}
	if got := ids(func(q *Request) { q.LogitBias = map[int32]float32{1: 100}; q.MinTokens = 6 }); len(got) != 7 || got[6] != 1 {
		t.Errorf("a certain end after at least 6 tokens gives %v", got)
	}
}

func TestRefused(t *testing.T) {
	e := open(t, newToy(t, toyVocab, 100), Options{MaxLen: 50})
	for name, spoil := range map[string]func(*Request){
		"no prompt":                 func(q *Request) { q.Prompt = nil },
		"a prompt over the context": func(q *Request) { q.Prompt = make([]int32, 50) },
		"an unknown token":          func(q *Request) { q.Prompt = []int32{toyVocab} },
		"a negative token":          func(q *Request) { q.Prompt = []int32{-1} },
		"no samples":                func(q *Request) { q.N = 0 },
		"no tokens":                 func(q *Request) { q.MaxTokens = 0 },
		"top_p 0":                   func(q *Request) { q.TopP = 0 },
		"top_k 0":                   func(q *Request) { q.TopK = 0 },
		"nothing allowed":           func(q *Request) { q.Allowed = []int32{} },
		"an unknown token allowed":  func(q *Request) { q.Allowed = []int32{99} },
	} {
		q := plain(1, 2)
		spoil(&q)
		if _, err := e.Generate(t.Context(), q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, ids := range [][]int32{nil, {1}, {1, toyVocab}, make([]int32, 51)} {
		if _, err := e.Score(t.Context(), ids, 0); err == nil {
			t.Errorf("score of %d tokens: no error", len(ids))
		}
	}
	for _, o := range []Options{{MaxLen: 1}, {MaxLen: 1600}, {MaxLen: 10, MaxSequences: -1}, {MaxLen: 10, MaxSequences: 9, MaxRows: 8}} {
		if e, err := New(newToy(t, toyVocab, 100), o); err == nil {
			t.Errorf("%+v: no error", o)
			_ = e.Close()
		}
	}
}

func TestModelFails(t *testing.T) {
	m := newToy(t, toyVocab, 100)
	e := open(t, m, Options{MaxLen: 50})
	m.nan = true
	if _, err := e.Generate(t.Context(), plain(1)); !errors.Is(err, ErrNotFinite) {
		t.Errorf("logits that are no numbers: %v", err)
	}
	m.nan, m.err = false, errors.New("no memory")
	if _, err := e.Generate(t.Context(), plain(1)); !errors.Is(err, m.err) {
		t.Errorf("a pass that fails: %v", err)
	}
	m.err = nil
	if _, err := e.Generate(t.Context(), plain(1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestClose(t *testing.T) {
	m := newToy(t, toyVocab, 100)
	e := open(t, m, Options{MaxLen: 500})
	reached, release := gateAt(m, 5)
	q := plain(1)
	q.MaxTokens = 400
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() { _, errs[0] = e.Generate(t.Context(), q) })
	<-reached
	wg.Go(func() { errs[1] = e.Close() })
	for !e.isClosed() {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	_, errs[2] = e.Score(t.Context(), []int32{1, 2}, 0)
	if !errors.Is(errs[0], ErrClosed) || errs[1] != nil || !errors.Is(errs[2], ErrClosed) {
		t.Errorf("under way %v, close %v, after %v", errs[0], errs[1], errs[2])
	}
}

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}
