package localserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// generation is a checked request of one of the generating routes.
type generation struct {
	s       *Server
	id      string
	created int64
	params  params
	prompts []prompt
	request Request // of each prompt, but for what depends on it
	subIDs  []string
	scores  [][]Token // of each prompt, before its first event
	onToken func(sample int)
	onEvent func(event) // told of each token in streams; nil otherwise; must not block
}

// streams tells how the answer is to be sent.
func (g *generation) streams() bool { return g.params.stream }

// exchange is a parsed request of one of the generating routes.
type exchange interface {
	streams() bool
	// stream answers piece by piece; late is a refusal that comes as the first piece.
	stream(w http.ResponseWriter, r *http.Request, late *refusal)
	// answer writes the whole reply at once.
	answer(w http.ResponseWriter, r *http.Request)
}

// generating serves a generating route. parse gives a refusal of the request,
// bad, or one that a stream has begun before, late.
func generating[E exchange](s *Server, parse func(f *form, id string) (x E, bad, late *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.form(w, r, true)
		if f == nil {
			return
		}
		x, bad, late := parse(f, r.Header.Get("X-Request-Id"))
		if bad == nil && s.dead.Load() {
			bad = asRefusal(ErrDead)
		}
		switch {
		case bad != nil:
			bad.write(w)
		case x.streams():
			x.stream(w, r, late)
		case late != nil:
			late.write(w)
		default:
			x.answer(w, r)
		}
	}
}

// event is news of one sample.
type event struct {
	prompt, sample int
	tokens         []Token
	text           string
	finish         string // "" while it goes on
	stop           any    // stop_reason
}

// result is the answer to one prompt.
type result struct {
	samples []answer
	scores  []Token // of the prompt's tokens but the first; nil if not asked for
}

type answer struct {
	tokens []Token
	text   string
	finish string
	stop   any
}

// run enters the gate and generates for all prompts at once.
func (g *generation) run(ctx context.Context) ([]result, error) {
	s, start := g.s, time.Now()
	inner, visit, err := s.gate.enter(ctx, g.subIDs, len(g.prompts)*g.request.N)
	if err != nil {
		return nil, err
	}
	defer s.gate.leave(visit)
	out := make([]result, len(g.prompts))
	g.scores = make([][]Token, len(g.prompts))
	var pool errgroup.Group
	for i := range g.prompts {
		work := func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					s.o.Log.Error("the engine panicked", "panic", r)
					err = fmt.Errorf("the engine panicked: %v", r)
				}
			}()
			out[i], err = g.one(inner, i, start)
			return err
		}
		if len(g.prompts) == 1 {
			err = work()
			break
		}
		pool.Go(func() error {
			err := work()
			if err != nil {
				visit.cancel(err) // the others are of no use
			}
			return err
		})
	}
	err = errors.Join(err, pool.Wait())
	if errors.Is(err, ErrDead) {
		s.dead.Store(true)
		err = ErrDead
	}
	return out, err
}

// one generates for prompt i.
func (g *generation) one(ctx context.Context, i int, start time.Time) (result, error) {
	s, p, r := g.s, g.prompts[i], g.request
	r.Prompt = p.ids
	r.MaxTokens = min(r.MaxTokens, s.model.MaxLen-len(p.ids))
	var res result
	if k := g.params.promptLogprobs; k != nil {
		scores, err := s.o.Engine.Score(ctx, p.ids, topOf(k, s.model.Vocab))
		switch {
		case err != nil && errors.Is(context.Cause(ctx), ErrAborted):
			res.samples = make([]answer, r.N)
			for j := range res.samples {
				res.samples[j].finish = "abort"
			}
			return res, nil
		case err != nil:
			return res, err
		}
		res.scores, g.scores[i] = scores, scores
	}
	d := newDrawing(g, i, r, start)
	r.OnToken = d.token
	samples, err := s.o.Engine.Generate(ctx, r)
	if err != nil {
		return res, err
	}
	if len(samples) != r.N {
		return res, fmt.Errorf("the engine gave %d samples for %d", len(samples), r.N)
	}
	res.samples = d.finish(samples)
	s.metrics.observe(r, res.samples, time.Since(start))
	return res, nil
}

// drawing follows the samples of one prompt. While tokens come, only the
// engine's goroutine uses it.
type drawing struct {
	g       *generation
	prompt  int
	r       Request
	start   time.Time
	first   sync.Once
	writers []*writer // nil without a stream or stop strings: then text is made at the end
	told    []int     // tokens told of each sample
	ended   []bool    // told
}

func newDrawing(g *generation, i int, r Request, start time.Time) *drawing {
	d := &drawing{g: g, prompt: i, r: r, start: start, told: make([]int, r.N), ended: make([]bool, r.N)}
	if g.onEvent != nil || len(g.params.stop) > 0 {
		d.writers = make([]*writer, r.N)
		for j := range d.writers {
			d.writers[j] = newWriter(g.s.o.Tokenizer, g.params)
		}
	}
	return d
}

// token is the engine's OnToken.
func (d *drawing) token(j int, t Token) bool {
	d.first.Do(func() { d.g.s.metrics.firstToken.Observe(time.Since(d.start).Seconds()) })
	if d.g.onToken != nil {
		d.g.onToken(j)
	}
	if d.writers == nil {
		return false
	}
	w := d.writers[j]
	d.told[j]++
	ends, reason := d.ends(t.ID, d.told[j])
	stopped := w.add(t.ID, ends)
	if d.g.onEvent == nil {
		return stopped
	}
	e := event{prompt: d.prompt, sample: j, tokens: []Token{t}}
	switch {
	case stopped:
		e.finish, e.stop = "stop", *w.stop
	case ends:
		e.finish, e.stop = "stop", reason
	case d.told[j] == d.r.MaxTokens:
		e.finish = "length"
	}
	e.text = w.delta(e.finish != "")
	d.ended[j] = e.finish != ""
	d.g.onEvent(e)
	return stopped
}

// ends tells whether a token ends its sample as the n-th of it, and vLLM's
// stop_reason: null for the first end-of-sequence token, the id for others.
func (d *drawing) ends(id int32, n int) (bool, any) {
	if n < d.r.MinTokens {
		return false, nil
	}
	for i, eos := range d.g.s.model.EOS {
		switch {
		case id != eos || d.r.IgnoreEOS:
		case i == 0:
			return true, nil
		default:
			return true, id
		}
	}
	for _, stop := range d.r.StopTokenIDs {
		if id == stop {
			return true, id
		}
	}
	return false, nil
}

// finish makes answers of the engine's samples, and tells the end of those
// whose last token did not show it.
func (d *drawing) finish(samples []Sample) []answer {
	out := make([]answer, len(samples))
	for j, sample := range samples {
		a := answer{tokens: sample.Tokens, finish: sample.Finish}
		w := newWriter(d.g.s.o.Tokenizer, d.g.params)
		if d.writers != nil {
			w = d.writers[j]
		}
		for n := w.tokens; n < len(sample.Tokens); n++ {
			ends, _ := d.ends(sample.Tokens[n].ID, n+1)
			w.add(sample.Tokens[n].ID, ends && sample.Finish == "stop")
		}
		if w.stop != nil {
			a.finish, a.stop = "stop", *w.stop
		} else if n := len(sample.Tokens); n > 0 && a.finish == "stop" {
			if _, a.stop = d.ends(sample.Tokens[n-1].ID, n); a.stop == nil && sample.StopToken >= 0 && d.r.IgnoreEOS {
				a.stop = sample.StopToken
			}
		}
		a.text = string(w.text)
		if d.g.onEvent != nil && !d.ended[j] {
			d.g.onEvent(event{prompt: d.prompt, sample: j, text: w.delta(true), tokens: sample.Tokens[d.told[j]:], finish: a.finish, stop: a.stop})
		}
		out[j] = a
	}
	return out
}
