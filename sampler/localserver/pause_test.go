package localserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/watched"
)

// slow is a toy that tells one token, then waits to be let on, cancelled, or
// thawed.
type slow struct {
	toy
	mu watched.Lock
	on bool // let on
	in int
	is bool // frozen
}

func newSlow() *slow {
	e := &slow{}
	e.generate = func(ctx context.Context, r Request) ([]Sample, error) {
		e.mu.Change(func() { e.in++ })
		defer e.mu.Change(func() { e.in-- })
		out := make([]Sample, r.N)
		for j := range out {
			out[j] = tell(r, j, "a")
		}
		if err := e.mu.Until(ctx, func() bool { return e.on && !e.is }); err != nil {
			if !errors.Is(context.Cause(ctx), ErrAborted) {
				return nil, err
			}
			for j := range out {
				out[j].Finish = "abort"
			}
		}
		return out, nil
	}
	e.freeze = func(on bool) { e.mu.Change(func() { e.is = on }) }
	return e
}

func (e *slow) await(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if e.mu.Until(ctx, func() bool { return e.in == n }) != nil {
		t.Fatalf("there are no %d generations", n)
	}
}

func (e *slow) let() { e.mu.Change(func() { e.on = true }) }

// TestPauses: what each mode does to generations under way, in both shapes of
// answers.
func TestPauses(t *testing.T) {
	const whole, stream = `{"prompt":"xy","n":2,"return_token_ids":true}`, `{"prompt":"xy","n":2,"stream":true}`
	for _, c := range []struct {
		name   string
		body   string
		calls  []string // before the generation may go on
		finish string
	}{
		{"abort", whole, []string{"/pause"}, `"finish_reason":"abort"`},
		{"abort a stream", stream, []string{"/pause?mode=abort"}, `"finish_reason":"abort"`},
		{"keep", whole, []string{"/pause?mode=keep"}, `"finish_reason":"length"`},
		{"keep, then abort", whole, []string{"/pause?mode=keep", "/pause?mode=abort"}, `"finish_reason":"abort"`},
		{"keep, then abort the requests", whole, []string{"/pause?mode=keep", "/abort_requests"}, `"finish_reason":"abort"`},
		{"abort the requests", stream, []string{"/abort_requests"}, `"finish_reason":"abort"`},
		{"sleep", whole, []string{"/sleep?level=1"}, `"finish_reason":"abort"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newSlow()
			s := toyServer(t, &e.toy, nil)
			var pool errgroup.Group
			var reply string
			pool.Go(func() error {
				var status int
				if status, reply = ask(s, "/v1/completions", c.body); status != http.StatusOK {
					return fmt.Errorf("%d %s", status, reply)
				}
				return nil
			})
			e.await(t, 1)
			for _, path := range c.calls {
				if status, reply := ask(s, path, "{}"); status != http.StatusOK {
					t.Fatalf("%s: %d %s", path, status, reply)
				}
			}
			if strings.Contains(c.finish, "length") {
				e.let()
				e.await(t, 1) // frozen
			}
			ask(s, "/resume", "")
			if err := pool.Wait(); err != nil {
				t.Fatal(err)
			}
			if strings.Count(reply, c.finish) != 2 || !strings.Contains(reply, `"text":"a"`) {
				t.Errorf("%s, want %s with the text so far", reply, c.finish)
			}
		})
	}
}

// TestWaitingPause returns when the generations have ended, and holds back later ones.
func TestWaitingPause(t *testing.T) {
	e := newSlow()
	s := toyServer(t, &e.toy, nil)
	var early, pause, late errgroup.Group
	request := func() error {
		if status, reply := ask(s, "/v1/completions", `{"prompt":"xy"}`); status != http.StatusOK || !strings.Contains(reply, `"length"`) {
			return fmt.Errorf("%d %s", status, reply)
		}
		return nil
	}
	early.Go(request)
	e.await(t, 1)
	pause.Go(func() error {
		if status, reply := ask(s, "/pause?mode=wait", ""); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, reply)
		}
		if _, _, running := s.gate.state(); running != 0 {
			return fmt.Errorf("%d generations under way in the pause", running)
		}
		return nil
	})
	if err := s.gate.mu.Until(t.Context(), func() bool { return s.gate.paused }); err != nil {
		t.Fatal(err)
	}
	late.Go(request)
	if err := s.gate.mu.Until(t.Context(), func() bool { return s.gate.samples == 2 }); err != nil {
		t.Fatal(err)
	}
	e.await(t, 1)
	e.let()
	if err := errors.Join(early.Wait(), pause.Wait()); err != nil {
		t.Fatal(err)
	}
	e.await(t, 0)
	ask(s, "/resume", "")
	if err := late.Wait(); err != nil {
		t.Error(err)
	}
}

// TestAbortByID ends the generation of that name and no other.
func TestAbortByID(t *testing.T) {
	e := newSlow()
	s := toyServer(t, &e.toy, nil)
	replies := map[string]*string{"cmpl-one-0": new(string), "chatcmpl-two": new(string), "generate-tokens-three": new(string)}
	var pool errgroup.Group
	for id, body := range map[string][2]string{
		"cmpl-one-0":            {"/v1/completions", `{"prompt":"xy","request_id":"one"}`},
		"chatcmpl-two":          {"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"request_id":"two"}`},
		"generate-tokens-three": {"/inference/v1/generate", `{"token_ids":[5],"request_id":"three","sampling_params":{}}`},
	} {
		pool.Go(func() error { _, *replies[id] = ask(s, body[0], body[1]); return nil })
	}
	e.await(t, 3)
	n := 3
	for id := range replies {
		if status, body := ask(s, "/abort_requests", `{"request_ids":["`+id+`"]}`); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		n--
		e.await(t, n)
	}
	if err := pool.Wait(); err != nil {
		t.Fatal(err)
	}
	for id, reply := range replies {
		if !strings.Contains(*reply, `"finish_reason":"abort"`) {
			t.Errorf("%s: %s", id, *reply)
		}
	}
}

// TestAbortWhileScoring: the answer has no prompt log-probs, and aborted samples.
func TestAbortWhileScoring(t *testing.T) {
	scoring := make(chan struct{})
	s := toyServer(t, &toy{score: func(ctx context.Context, _ []int32, _ int) ([]Token, error) {
		close(scoring)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, nil)
	var pool errgroup.Group
	pool.Go(func() error {
		if status, reply := ask(s, "/v1/completions", `{"prompt":"xy","prompt_logprobs":0,"n":2}`); status != http.StatusOK || strings.Count(reply, `"abort"`) != 2 {
			return fmt.Errorf("%d %s", status, reply)
		}
		return nil
	})
	<-scoring
	ask(s, "/abort_requests", "{}")
	if err := pool.Wait(); err != nil {
		t.Error(err)
	}
}

// TestWeightVersions: /inference/v1/generate tells which version made which tokens.
func TestWeightVersions(t *testing.T) {
	var s *Server
	e := &toy{generate: func(_ context.Context, r Request) ([]Sample, error) {
		first := tell(r, 0, "abc")
		ask(s, "/update_weight_version", `{"new_version":"step-7"}`)
		second := tell(r, 0, "de")
		first.Tokens = append(first.Tokens, second.Tokens...)
		return []Sample{first}, nil
	}}
	s = toyServer(t, e, nil)
	_, reply := ask(s, "/inference/v1/generate", `{"token_ids":[5],"sampling_params":{}}`)
	if want := `"weight_versions":[{"version":"default","start":0,"end":3},{"version":"step-7","start":3,"end":5}]`; !strings.Contains(reply, want) {
		t.Errorf("%s, want %s", reply, want)
	}
}

// TestReloads: a path becomes the default of later reloads, unless it failed.
func TestReloads(t *testing.T) {
	var loaded []string
	s := toyServer(t, &toy{load: func(dir string) error {
		loaded = append(loaded, dir)
		if dir == "/broken" {
			return errors.New("broken")
		}
		return nil
	}}, nil)
	for _, kwargs := range []string{`{}`, `{"weights_path":"/a"}`, `{}`, `{"weights_path":"/broken"}`, `null`} {
		ask(s, "/collective_rpc", `{"method":"reload_weights","kwargs":`+kwargs+`}`)
	}
	if got := strings.Join(loaded, " "); got != "/weights /a /a /broken /a" {
		t.Errorf("loaded %s", got)
	}
}

// TestServeEnds: when its context ends, nothing is left, whatever was under way.
func TestServeEnds(t *testing.T) {
	e := newSlow()
	s := toyServer(t, &e.toy, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var server, clients errgroup.Group
	server.Go(func() error { return s.Serve(ctx, l) })
	url := "http://" + l.Addr().String()
	told := func(body string, want int) func() error {
		return func() error {
			status, reply, err := post(t.Context(), url+"/v1/completions", body)
			if err == nil && (status != want || !strings.Contains(reply, "the server is shutting down")) {
				return fmt.Errorf("a client under way got %d %s", status, reply)
			}
			return err
		}
	}
	clients.Go(told(`{"prompt":"a"}`, http.StatusServiceUnavailable))
	clients.Go(told(`{"prompt":"a","stream":true}`, http.StatusOK))
	e.await(t, 2)
	if status, _, err := post(t.Context(), url+"/pause?mode=keep", ""); status != http.StatusOK {
		t.Fatal(status, err)
	}
	clients.Go(told(`{"prompt":"a"}`, http.StatusServiceUnavailable)) // waits
	if err := s.gate.mu.Until(t.Context(), func() bool { return s.gate.samples == 3 }); err != nil {
		t.Fatal(err)
	}
	large, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	large.Header.Set("X-Large", strings.Repeat("a", 1<<18))
	if resp, err := http.DefaultClient.Do(large); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large headers: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	cancel()
	if err := server.Wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	e.await(t, 0)
	if _, _, err := post(t.Context(), url+"/resume", ""); err == nil {
		t.Error("the address still answers")
	}
}

// TestServeOnAClosedListener: an error of the listener is Serve's.
func TestServeOnAClosedListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := toyServer(t, &toy{}, nil).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// TestWithoutDevMode: the development routes are not there.
func TestWithoutDevMode(t *testing.T) {
	s := toyServer(t, &toy{}, func(o *Options) { o.DevMode = false })
	for _, path := range []string{"/pause", "/resume", "/collective_rpc", "/sleep", "/abort_requests", "/weight_checker"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusNotFound || w.Body.String() != `{"detail":"Not Found"}` {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
