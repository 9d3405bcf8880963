package evaluate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
)

func TestWatch(t *testing.T) {
	const quiet = time.Minute
	for _, c := range []struct {
		name string
		do   func(s *Server, w *watch) // while time passes
		ends time.Duration             // 0 is never
	}{
		{"a server that says nothing", func(*Server, *watch) { time.Sleep(time.Hour) }, quiet},
		{"an answer that comes", func(_ *Server, w *watch) {
			for range 100 {
				w.event()
				time.Sleep(quiet - time.Second)
			}
		}, 0},
		{"one that waits its turn while others come", func(s *Server, w *watch) {
			w.event() // the head
			for range 1000 {
				s.heard()
				time.Sleep(quiet / 2)
			}
		}, 0},
		{"one that has begun and is forgotten", func(s *Server, w *watch) {
			w.event()
			w.event()
			for range 1000 {
				s.heard()
				time.Sleep(quiet / 2)
			}
		}, begunFactor * quiet},
		{"a server that stops in the middle", func(_ *Server, w *watch) {
			for range 10 {
				w.event()
				time.Sleep(quiet / 2)
			}
			time.Sleep(time.Hour)
		}, 9*quiet/2 + quiet},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{}
				s.heard()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				began, ended := time.Now(), time.Duration(0)
				stop := context.AfterFunc(ctx, func() { ended = time.Since(began) })
				w := s.watch(quiet, cancel)
				c.do(s, w)
				w.stop()
				stop()
				synctest.Wait()
				if ended != c.ends {
					t.Errorf("it ended after %s, want %s", ended, c.ends)
				}
				var timeout *endpoint.TimeoutError
				if c.ends != 0 && !errors.As(context.Cause(ctx), &timeout) {
					t.Errorf("cause %v", context.Cause(ctx))
				}
			})
		})
	}
}

// A server that hangs is left for one that does not.
func TestHangingServer(t *testing.T) {
	for _, kind := range []openaitest.FaultKind{openaitest.FaultHang, openaitest.FaultStall} {
		bad, good := answers(t, nil), answers(t, nil)
		bad.Inject(openaitest.Fault{Kind: kind, Path: path, Times: -1})
		f := fleet(t, bad.URL, good.URL)
		f.Quiet = 50 * time.Millisecond
		a, err := f.Ask(t.Context(), question(2))
		if err != nil || a.Text != `So it is \boxed{4}.` {
			t.Errorf("fault %d: %+v, %v", kind, a, err)
		}
		if len(bad.Requests(path)) != 1 || len(good.Requests(path)) != 1 {
			t.Errorf("fault %d: %d and %d requests", kind, len(bad.Requests(path)), len(good.Requests(path)))
		}
		if err := bad.AwaitRunning(t.Context(), func(n int) bool { return n == 0 }); err != nil {
			t.Errorf("fault %d: the request is still there: %v", kind, err)
		}
	}
}
