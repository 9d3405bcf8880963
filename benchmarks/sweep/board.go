package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
)

// progress is how far an evaluation is.
type progress int

const (
	ready   progress = iota // complete, or none of this sweep's
	waiting                 // for its servers, or for its lead
	working
	failed
)

// board decides what goes on next. One goroutine works with it.
type board struct {
	s       *Sweep
	pending []*Evaluation
	running map[*Server][]*Evaluation
	gone    map[*Server]error
	state   map[*Evaluation]progress
	errs    []error
	skipped []string
}

// work begins what can begin until nothing is left.
func (b *board) work(ctx context.Context, cancel context.CancelCauseFunc) error {
	var g errgroup.Group
	ends := make(chan end)
	active := 0
	for {
		if ctx.Err() == nil {
			for _, e := range b.startable() {
				b.s.begin(ctx, &g, e, ends)
				active++
			}
		}
		if active == 0 {
			break
		}
		b.ended(ctx, cancel, <-ends)
		active--
	}
	_ = g.Wait() // the errors came with the ends
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(b.skipped) > 0 {
		b.s.Notice("not done, as their servers are gone: %v", b.skipped)
	}
	return errors.Join(b.errs...)
}

// startable takes out of pending what can begin now. On each server the order
// is kept, so that nobody waits for ever.
func (b *board) startable() []*Evaluation {
	var out, left []*Evaluation
	blocked := map[*Server]bool{}
	for _, e := range b.pending {
		servers := b.servers(e)
		switch {
		case e.Lead != nil && b.state[e.Lead] == failed, e.asks() && b.allGone(servers):
			b.state[e] = failed
			b.skipped = append(b.skipped, e.Name)
		case e.Lead != nil && b.state[e.Lead] == ready, e.Lead == nil && b.can(e, servers, blocked):
			b.state[e] = working
			for _, s := range servers {
				b.running[s] = append(b.running[s], e)
			}
			out = append(out, e)
		default:
			for _, s := range servers {
				blocked[s] = true
			}
			left = append(left, e)
		}
	}
	b.pending = left
	return out
}

// servers are those that the evaluation takes; none if it asks for nothing.
func (b *board) servers(e *Evaluation) []*Server {
	if !e.asks() {
		return nil
	}
	if e.Model.Folder != "" {
		return e.Model.Servers
	}
	var out []*Server
	for _, l := range b.s.lanes[e.Model] {
		out = append(out, l.server)
	}
	return out
}

func (b *board) allGone(servers []*Server) bool {
	return !slices.ContainsFunc(servers, func(s *Server) bool { return b.gone[s] == nil })
}

// can: weights of a folder have a server to themselves, and so has the first
// that wants the server's own back.
func (b *board) can(e *Evaluation, servers []*Server, blocked map[*Server]bool) bool {
	for _, s := range servers {
		b.s.mu.Lock()
		_, loaded := b.s.State.Loaded[s.URL]
		b.s.mu.Unlock()
		others := b.running[s]
		switch {
		case blocked[s], len(others) >= side:
			return false
		case len(others) > 0 && (loaded || e.Model.Folder != "" || others[0].Model.Folder != ""):
			return false
		}
	}
	return true
}

// ended takes note of what came of an evaluation.
func (b *board) ended(ctx context.Context, cancel context.CancelCauseFunc, d end) {
	for s, all := range b.running {
		b.running[s] = slices.DeleteFunc(all, func(e *Evaluation) bool { return e == d.e })
	}
	b.state[d.e] = ready
	if d.err == nil {
		return
	}
	b.state[d.e] = failed
	if ctx.Err() != nil {
		return
	}
	if !b.s.ServersFault(d.err) {
		cancel(fmt.Errorf("%s: %w", d.e.Name, d.err))
		return
	}
	b.errs = append(b.errs, fmt.Errorf("%s: %w", d.e.Name, d.err))
	var ask *AskError
	if errors.As(d.err, &ask) && endpoint.Retryable(ask.Err) {
		for _, s := range b.servers(d.e) {
			b.gone[s] = ask.Err
		}
	}
	b.s.Notice("%s waits for another time: %v", d.e.Name, d.err)
}

// lost are the evaluations of a model whose servers are all away.
func (b *board) lost(m *Model, err error) {
	for _, e := range b.pending {
		if e.Model == m && e.asks() {
			b.state[e] = failed
		}
	}
	b.pending = slices.DeleteFunc(b.pending, func(e *Evaluation) bool { return e.Model == m && e.asks() })
	b.errs = append(b.errs, fmt.Errorf("model %s: %w", m.Name, err))
}
