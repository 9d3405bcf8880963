package vllm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
)

// A reload whose answer was lost leaves a server that waits for a resume.
func TestLoadWhoseAnswerIsLost(t *testing.T) {
	for name, before := range map[string]bool{"goes back to the snapshot before": true, "tries the first again": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			want := theta0.Moved(0.2)
			if before {
				want = theta0.Moved(0.1)
				if err := r.publisher.Load(t.Context(), r.publish(t, 1, want)); err != nil {
					t.Fatal(err)
				}
			}
			r.Set(bridgetest.Faults{CutReloads: 1})
			err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
			if !endpoint.Unreachable(err) || !strings.Contains(err.Error(), "and resumed") {
				t.Errorf("error: %v", err)
			}
			if r.Paused() || r.Model().Theta != want.Theta {
				t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
			}
			// Whatever it was put on, it is what the next failure goes back to.
			r.Set(bridgetest.Faults{FailReloads: 2})
			err = r.publisher.Load(t.Context(), r.publish(t, 3, theta0.Moved(0.3)))
			if err == nil || !strings.Contains(err.Error(), "and resumed") || r.Paused() || r.Model().Theta != want.Theta {
				t.Errorf("the next failure: %v, paused %v, serves %v", err, r.Paused(), r.Model())
			}
		})
	}
}

// transport answers in place of a server, in no time.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return f(r)
}

// A server that died at any moment is told of as such, at once, and nothing is claimed about it.
func TestLoadIntoADeadServer(t *testing.T) {
	pauses := []string{"/pause", "/pause", "/pause", "/pause"}
	for _, c := range []struct {
		name string
		dies string // the first request that it does not answer
		err  error
		want []string // of the requests
		text string   // in the error
		not  string   // not in it
	}{
		{"before: nothing listens", "/pause", syscall.ECONNREFUSED, append(pauses, "/resume"), "nothing listens there", "paused"},
		{"while it is paused", "/pause", io.EOF, append(pauses, "/resume"), "without an answer", "paused"},
		{"in the reload, with nothing else to try", "/collective_rpc", io.EOF, []string{"/pause", "/collective_rpc", "/collective_rpc"}, "without an answer", "put back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			s := r.publish(t, 1, theta0)
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				dead := false
				err := r.over(t, func(req *http.Request) (*http.Response, error) {
					asked = append(asked, req.URL.Path)
					if dead = dead || req.URL.Path == c.dies; dead {
						return nil, c.err
					}
					return ok(), nil
				}).Load(t.Context(), s)
				if !endpoint.Unreachable(err) || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), c.not) {
					t.Errorf("error: %v", err)
				}
				if diff := cmp.Diff(c.want, asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The pause was made, but its answers never came: it must not stay.
func TestLoadWhosePauseIsLost(t *testing.T) {
	r := newRig(t)
	s := r.publish(t, 1, theta0)
	synctest.Test(t, func(t *testing.T) {
		paused := false
		err := r.over(t, func(req *http.Request) (*http.Response, error) {
			paused = req.URL.Path == "/pause"
			if paused {
				return nil, io.EOF
			}
			return ok(), nil
		}).Load(t.Context(), s)
		if !endpoint.Unreachable(err) || paused {
			t.Errorf("error %v, paused %v", err, paused)
		}
	})
}

// A call that hangs is given up after a minute, but a pause waits for other people's requests and a reload for the disk.
func TestAttemptsAreBounded(t *testing.T) {
	for _, c := range []struct {
		hangs string
		takes time.Duration // for one attempt
		fails bool          // and is then tried once more
	}{
		{"/pause", time.Hour, false},
		{"/collective_rpc", time.Hour, false},
		{"/update_weight_version", time.Minute, true},
		{"/reset_prefix_cache", time.Minute, true},
	} {
		t.Run(c.hangs, func(t *testing.T) {
			r := newRig(t)
			s := r.publish(t, 1, theta0)
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := r.over(t, func(req *http.Request) (*http.Response, error) {
					body := "{}"
					switch req.URL.Path {
					case c.hangs:
						select {
						case <-time.After(time.Hour):
						case <-req.Context().Done():
							return nil, req.Context().Err()
						}
					case "/weight_info":
						body = `{"weight_version":"run-1"}`
					}
					if req.URL.Path == "/reset_prefix_cache" {
						body = `{"success":true}`
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
				}).Load(t.Context(), s)
				var timeout *endpoint.TimeoutError
				if errors.As(err, &timeout) != c.fails || !c.fails && err != nil {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took < c.takes || took > 2*c.takes+time.Minute/2 {
					t.Errorf("took %v, want %v, or twice", took, c.takes)
				}
			})
		})
	}
}

func TestLoadThatIsOverBeforeItBegins(t *testing.T) {
	r := newRig(t)
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := r.publisher.Load(ctx, r.publish(t, 1, theta0)); !errors.Is(err, why) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("error: %v", err)
	}
	if asked := r.Requests(); len(asked) > 0 {
		t.Errorf("the server was asked %v", asked)
	}
}

// over is the rig's publisher with a transport in the server's place.
func (r *rig) over(t *testing.T, f transport) *Publisher {
	t.Helper()
	e, err := endpoint.New("http://fake", endpoint.Options{Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	p := r.newPublisher(t, "")
	p.e, p.way, p.pauseTarget = e, files{p}, features{}.pauseTarget() // as if it had been asked
	return p
}

func ok() *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
}

// That a second try is refused says nothing about what the first has done: a
// server with half a model in it is not resumed because its gateway has lost it.
func TestARefusalAfterAFailure(t *testing.T) {
	r := newRig(t)
	s := r.publish(t, 1, theta0)
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		err := r.over(t, func(req *http.Request) (*http.Response, error) {
			asked = append(asked, req.URL.Path)
			resp := ok()
			switch {
			case req.URL.Path != "/collective_rpc":
			case len(asked) == 2:
				resp.StatusCode = http.StatusInternalServerError
			default:
				resp.StatusCode = http.StatusNotFound
			}
			return resp, nil
		}).Load(t.Context(), s)
		if errors.Is(err, bridge.ErrUnsupported) || endpoint.StatusOf(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), leftPaused) {
			t.Errorf("error: %v", err)
		}
		if diff := cmp.Diff([]string{"/pause", "/collective_rpc", "/collective_rpc"}, asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}
