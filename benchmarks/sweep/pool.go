package sweep

import (
	"context"
	"errors"
	"time"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/watched"
	"github.com/justrl/justrl/sampler/openai"
)

// lane is a model on one of its servers, shared by all evaluations of the model.
type lane struct {
	server *Server
	fleet  *evaluate.Fleet // of this server alone

	// Under the pool's lock.
	down  time.Time // not to be asked before, if another can be
	falls int       // failures in a row
	busy  int       // requests under way
	since time.Time // when busy became more than 0
	Speed
}

func newLane(s *Server, found *evaluate.Server, retry endpoint.Retry, quiet time.Duration) (*lane, error) {
	f, err := evaluate.NewFleet(found)
	if err != nil {
		return nil, err
	}
	f.Retry, f.Quiet = retry, quiet
	return &lane{server: s, fleet: f}, nil
}

// pool has the places at the servers: each one's concurrency, over all evaluations.
type pool struct {
	watched.Lock
	used map[*Server]int
	// waiting are those who wait for a place at a server, by their turn: the
	// earlier evaluation goes first, so that one ends while the next fills up.
	waiting map[*Server]map[int]int
}

func newPool() *pool {
	return &pool{used: map[*Server]int{}, waiting: map[*Server]map[int]int{}}
}

// take waits for a place in one of the lanes: of those that are up the one with
// the most places left, for its size; if none is up, the one that has been down
// for longest.
func (p *pool) take(ctx context.Context, turn int, lanes []*lane) (*lane, error) {
	p.wait(turn, lanes, 1)
	defer p.wait(turn, lanes, -1)
	var got *lane
	err := p.Until(ctx, func() bool {
		got = p.pick(turn, lanes)
		if got == nil {
			return false
		}
		p.used[got.server]++
		if got.busy++; got.busy == 1 {
			got.since = time.Now()
		}
		return true
	})
	if err != nil {
		return nil, context.Cause(ctx)
	}
	return got, nil
}

func (p *pool) wait(turn int, lanes []*lane, n int) {
	p.Lock.Lock()
	defer p.Unlock()
	for _, l := range lanes {
		w := p.waiting[l.server]
		if w == nil {
			w = map[int]int{}
			p.waiting[l.server] = w
		}
		if w[turn] += n; w[turn] == 0 {
			delete(w, turn)
			p.Wake() // later ones may go now
		}
	}
}

// pick is the lane to take now, nil if all places are taken; the lock is held.
func (p *pool) pick(turn int, lanes []*lane) *lane {
	now := time.Now()
	var best, fallen *lane
	up := false
	for _, l := range lanes {
		if l.down.After(now) {
			if fallen == nil || l.down.Before(fallen.down) {
				fallen = l
			}
			continue
		}
		up = true
		if p.free(turn, l.server) && (best == nil || p.share(l.server) < p.share(best.server)) {
			best = l
		}
	}
	if !up && p.free(turn, fallen.server) {
		return fallen
	}
	return best
}

func (p *pool) share(s *Server) float64 { return float64(p.used[s]) / float64(s.Concurrency) }

func (p *pool) free(turn int, s *Server) bool {
	if p.used[s] >= s.Concurrency {
		return false
	}
	for other := range p.waiting[s] {
		if other < turn {
			return false
		}
	}
	return true
}

// give ends what take began.
func (p *pool) give(l *lane, a openai.Answer, err error) {
	p.Change(func() {
		p.used[l.server]--
		if l.busy--; l.busy == 0 {
			l.Seconds += time.Since(l.since).Seconds()
		}
		switch {
		case err == nil:
			l.falls, l.down = 0, time.Time{}
			l.Tokens += int64(a.Tokens)
		case endpoint.Retryable(err) && !l.down.After(time.Now()): // all its answers fall at once: that is one failure
			l.falls = min(l.falls+1, 6)
			l.down = time.Now().Add(time.Second << l.falls)
		}
	})
}

// measured takes what a lane gave since the last time.
func (p *pool) measured(l *lane) Speed {
	p.Lock.Lock()
	defer p.Unlock()
	if l.busy > 0 {
		now := time.Now()
		l.Seconds += now.Sub(l.since).Seconds()
		l.since = now
	}
	out := l.Speed
	l.Speed = Speed{}
	return out
}

// AskError is an answer that the servers of a model did not give.
type AskError struct{ Err error }

func (e *AskError) Error() string { return e.Err.Error() }

// Unwrap is what the last server asked said.
func (e *AskError) Unwrap() error { return e.Err }

// asker is an evaluation's way to its servers.
type asker struct {
	pool  *pool
	turn  int
	lanes []*lane
	retry endpoint.Retry // over the lanes, where there are several
}

// Ask implements [evaluate.Asker].
func (a *asker) Ask(ctx context.Context, r openai.ChatRequest) (answer openai.Answer, err error) {
	once := func(ctx context.Context) error {
		l, err := a.pool.take(ctx, a.turn, a.lanes)
		if err != nil {
			return err
		}
		answer, err = l.fleet.Ask(ctx, r)
		a.pool.give(l, answer, err)
		return err
	}
	if len(a.lanes) == 1 { // its fleet tries again
		err = once(ctx)
	} else {
		err = a.retry.Do(ctx, once)
	}
	if err != nil && ctx.Err() == nil {
		err = &AskError{err}
	}
	return answer, err
}

// complete is the asker of an evaluation whose answers are all there.
type complete struct{}

func (complete) Ask(context.Context, openai.ChatRequest) (openai.Answer, error) {
	return openai.Answer{}, errIncomplete
}

var errIncomplete = errors.New("an answer is missing that was there when the sweep was planned: was the folder changed meanwhile? Run it again")
