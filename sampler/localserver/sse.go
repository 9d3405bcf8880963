package localserver

import (
	"context"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"
)

// queue carries events from the engine's goroutine to the one that writes.
type queue struct {
	mu     sync.Mutex
	events []event
	news   chan struct{} // of capacity 1
}

func (q *queue) put(e event) {
	q.mu.Lock()
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.news <- struct{}{}:
	default:
	}
}

func (q *queue) take() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

// stream writes server-sent events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	s := &stream{w, http.NewResponseController(w)}
	_ = s.out.Flush()
	return s
}

// send writes one event; an error means that the stream is to end: notJSON,
// which the client has been told, or that the client is gone.
func (s *stream) send(v any) error {
	b, err := marshal(v)
	if err != nil {
		s.fail(notJSON)
		return notJSON
	}
	return s.raw(b)
}

func (s *stream) raw(b []byte) error {
	_, err := s.w.Write(append(append([]byte("data: "), b...), '\n', '\n'))
	return err
}

// fail writes an error as an event.
func (s *stream) fail(bad *refusal) { _ = s.raw(bad.event()) }

func (s *stream) done() {
	_ = s.raw([]byte("[DONE]"))
	_ = s.out.Flush()
}

// follow runs a generation and hands its events to send as they come. send's
// error ends the generation.
func (g *generation) follow(ctx context.Context, out *stream, send func(event) error) ([]result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := &queue{news: make(chan struct{}, 1)}
	g.onEvent = q.put
	var results []result
	var pool errgroup.Group
	done := make(chan struct{})
	pool.Go(func() (err error) {
		defer close(done)
		results, err = g.run(ctx)
		return err
	})
	flush := func() error {
		events := q.take()
		for _, e := range events {
			if err := send(e); err != nil {
				cancel()
				return err
			}
		}
		if len(events) > 0 {
			_ = out.out.Flush()
		}
		return nil
	}
	var failed error
	for running := true; running; {
		select {
		case <-q.news:
		case <-done:
			running = false
		}
		if failed == nil {
			failed = flush()
		}
	}
	if err := pool.Wait(); failed == nil {
		failed = err
	}
	return results, failed
}
