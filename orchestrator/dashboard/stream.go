package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/justrl/justrl/internal/guard"
)

// least is the time between two states that a client is sent.
const least = 100 * time.Millisecond

// stream sends the state as Server-Sent Events: at once, then whenever it has
// changed. A client has one state in memory, its newest; one that does not take
// what it is sent is let go, and none of them is waited for by the run.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	woken, err := p.join()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		guard.Refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer p.leave(woken)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not keep it
	to := sending{w: w, control: http.NewResponseController(w), patience: p.patience}
	if err := to.send("retry: 1000\n\n"); err != nil {
		return
	}
	// What cannot be sent ends it: the browser comes again.
	_ = p.follow(r.Context(), &to, woken)
}

var errCrowded = fmt.Errorf("%d browsers follow this run already", mostClients)

func (p *Page) join() (chan struct{}, error) {
	woken := make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) >= mostClients {
		return nil, errCrowded
	}
	p.clients[woken] = struct{}{}
	return woken, nil
}

func (p *Page) leave(woken chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, woken)
}

// follow sends states until ctx ends, and a last one then: it says how the run did.
func (p *Page) follow(ctx context.Context, to *sending, woken <-chan struct{}) error {
	tick, beat := time.NewTicker(p.tick), time.NewTicker(p.beat)
	defer tick.Stop()
	defer beat.Stop()
	for n := 1; ; n++ {
		if err := p.tell(to, n); err != nil {
			return err
		}
		rest := time.NewTimer(min(least, p.tick))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
		select {
		case <-ctx.Done():
			return errors.Join(p.tell(to, n+1), ctx.Err())
		case <-woken:
		case <-tick.C:
		case <-beat.C:
			if err := to.send("event: beat\ndata: {}\n\n"); err != nil {
				return err
			}
		}
	}
}

// tell sends the state if it is another than the last.
func (p *Page) tell(to *sending, n int) error {
	b, err := p.snapshot()
	if err != nil || bytes.Equal(b, to.last) {
		return err
	}
	to.last = b
	return to.send("id: " + p.instance + "-" + strconv.Itoa(n) + "\nevent: state\ndata: " + string(p.message(b)) + "\n\n")
}

// sending is a client that events go to.
type sending struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	last     []byte // state
}

func (s *sending) send(text string) error {
	// Without one, as in a test's recorder, a write has all the time it wants.
	if err := s.control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
