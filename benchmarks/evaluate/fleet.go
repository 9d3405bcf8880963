package evaluate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// DefaultQuiet is how long a server may send nothing at all.
const DefaultQuiet = 5 * time.Minute

// maxBreaks is how often an answer may break off half-way before it is given
// up: whatever breaks it then is the answer's own doing.
const maxBreaks = 5

// Fleet is the servers of one model; they share the work, the least busy
// first. One that fails is left alone for a while, and its answers are asked
// for elsewhere. It is safe for concurrent use.
type Fleet struct {
	// Retry is how an answer's requests are tried again. A request that was
	// being answered when it broke off starts with new patience.
	Retry endpoint.Retry
	// Quiet is how long a server may send nothing at all, in any of its
	// streams; 0 is [DefaultQuiet].
	Quiet time.Duration

	mu      sync.Mutex
	servers []*Server
}

// NewFleet makes a fleet of at least one server.
func NewFleet(servers ...*Server) (*Fleet, error) {
	if len(servers) == 0 {
		return nil, errors.New("evaluate: no server")
	}
	return &Fleet{servers: servers}, nil
}

// Ask has one answer (r.Model is set here). It blocks until the answer is
// complete, ctx ends, or the servers' failures have used up all patience.
func (f *Fleet) Ask(ctx context.Context, r openai.ChatRequest) (openai.Answer, error) {
	var answer openai.Answer
	for breaks := 0; ; breaks++ {
		begun := false
		err := f.Retry.Do(ctx, func(ctx context.Context) (err error) {
			s := f.take()
			begun = false
			answer, err = s.ask(ctx, r, f.quiet(), &begun)
			f.give(s, err)
			return err
		})
		if err == nil || !begun || breaks == maxBreaks || ctx.Err() != nil || !endpoint.Retryable(err) {
			return answer, err
		}
	}
}

func (f *Fleet) quiet() time.Duration {
	if f.Quiet == 0 {
		return DefaultQuiet
	}
	return f.Quiet
}

// take is the server to ask: of those that are up the least busy one, else the
// one that has been down for longest.
func (f *Fleet) take() *Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var best *Server
	for _, s := range f.servers {
		if best == nil || better(s, best, now) {
			best = s
		}
	}
	if best.busy == 0 {
		best.heard() // it could not have said anything
	}
	best.busy++
	return best
}

func better(s, than *Server, now time.Time) bool {
	up, other := !s.down.After(now), !than.down.After(now)
	switch {
	case up != other:
		return up
	case up:
		return s.busy < than.busy
	}
	return s.down.Before(than.down)
}

// give ends what take began.
func (f *Fleet) give(s *Server, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.busy--
	switch {
	case err == nil:
		s.falls, s.down = 0, time.Time{}
	case endpoint.Retryable(err) && !s.down.After(time.Now()): // all its answers fall at once: that is one failure
		s.falls = min(s.falls+1, 6)
		s.down = time.Now().Add(time.Second << s.falls)
	}
}

// Infos are the servers, in the order they were given.
func (f *Fleet) Infos() []ServerInfo {
	out := make([]ServerInfo, len(f.servers))
	for i, s := range f.servers {
		out[i] = s.Info
	}
	return out
}

// Findings are what only sampling shows of the servers.
type Findings struct {
	// Clipped is the least number of tokens at which an answer was cut because
	// the server's context has no more room; 0 if none was.
	Clipped int `json:"clipped_at,omitempty"`
	// Plain tells that a server refused top_k, min_p and repetition_penalty, so
	// that its own defaults hold.
	Plain bool `json:"plain,omitempty"`
	// Apart tells that a server puts reasoning apart.
	Apart bool `json:"reasoning_apart,omitempty"`
}

// Findings are those so far.
func (f *Fleet) Findings() Findings {
	var out Findings
	for _, s := range f.servers {
		if c := int(s.clipped.Load()); c > 0 && (out.Clipped == 0 || c < out.Clipped) {
			out.Clipped = c
		}
		out.Plain = out.Plain || s.client.Plain()
		out.Apart = out.Apart || s.apart.Load()
	}
	return out
}
