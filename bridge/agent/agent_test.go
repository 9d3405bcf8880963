package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
)

// The folder holds no more than Keep, and what the server would go back to.
func TestKeep(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Keep = 3 })
	for v := range int64(5) {
		if err := r.publisher.Load(t.Context(), r.publish(t, v+1, theta0.Moved(float64(v)*0.1))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := AskStatus(t.Context(), r.publisher.e)
	if err != nil {
		t.Fatal(err)
	}
	want := Status{Trainer: r.agent.o.Trainer.URL(), Dir: r.dir, Keep: 3, Run: "run1", Version: 5, Have: []string{"run-run1/version-000005", "run-run1/version-000004", "run-run1/version-000003"}}
	if d := cmp.Diff(want, s); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// A load that fails has the server on the version before, from the agent's own folder.
	r.Set(bridgetest.Faults{FailReloads: 2})
	err = r.publisher.Load(t.Context(), r.publish(t, 6, theta0.Moved(0.9)))
	var failed *Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "put on version 5 and resumed") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v", err)
	}
	if r.Paused() || r.Model().Theta != theta0.Moved(0.4).Theta {
		t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
	}
}

// A status names the server and the way into it, or why there is none, and does
// not wait for a load.
func TestStatusOfTheServer(t *testing.T) {
	var fail error
	r := newRig(t, func(o *Options) {
		o.Server = "http://10.0.0.7:8000"
		o.Look = func(context.Context) (string, error) { return "files", fail }
	})
	s, err := AskStatus(t.Context(), r.publisher.e)
	if err != nil || s.Server != "http://10.0.0.7:8000" || s.Way != "files" || s.Loading {
		t.Errorf("%+v, %v", s, err)
	}
	release, err := r.agent.hold(t.Context()) // as a load does
	if err != nil {
		t.Fatal(err)
	}
	fail = errors.New("nobody shall ask now")
	s, err = AskStatus(t.Context(), r.publisher.e)
	release()
	if err != nil || s.Way != "files" || !s.Loading {
		t.Errorf("during a load: %+v, %v", s, err)
	}
	fail = &bridge.UnsupportedError{Server: "http://10.0.0.7:8000", What: "is too old", Hint: "use another"}
	var told *Error
	if s, err = AskStatus(t.Context(), r.publisher.e); !errors.As(err, &told) || !errors.Is(err, bridge.ErrUnsupported) || !strings.Contains(err.Error(), "is too old") || s.Dir != r.dir {
		t.Errorf("%+v, %v", s, err)
	}
}

// What the trainer acts upon crosses as what it is.
func TestFaultsCross(t *testing.T) {
	t.Run("a server that was restarted", func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.publisher.StillLive(t.Context()); err != nil {
			t.Errorf("before a load: %v", err)
		}
		if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
			t.Fatal(err)
		}
		r.Restart(theta0)
		var canary *bridge.CanaryError
		if err := r.publisher.StillLive(t.Context()); !errors.As(err, &canary) || canary.Part != bridge.PartIdle || canary.Version != 1 || canary.Server != r.URL {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("a server without the routes", func(t *testing.T) {
		r := newRig(t, nil)
		r.Set(bridgetest.Faults{NoDevMode: true})
		if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0)); !errors.Is(err, bridge.ErrUnsupported) || !strings.Contains(err.Error(), "VLLM_SERVER_DEV_MODE=1") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("another run's weights", func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0)); err != nil {
			t.Fatal(err)
		}
		r.agent.run = "run2"
		var canary *bridge.CanaryError
		if err := r.publisher.StillLive(t.Context()); !errors.As(err, &canary) || !strings.Contains(err.Error(), "run2") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("an agent that is gone", func(t *testing.T) {
		r := newRig(t, nil)
		s := r.publish(t, 1, theta0)
		r.publisher.e = dial(t, "http://127.0.0.1:1", nil)
		r.publisher.o.Retry = quick
		var gone *endpoint.UnreachableError
		if err := r.publisher.Load(t.Context(), s); !errors.As(err, &gone) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("a trainer that says other weights than it publishes", func(t *testing.T) {
		r := newRig(t, nil)
		s := r.publish(t, 1, theta0)
		s.SHA256 = strings.Repeat("0", 64)
		if err := r.publisher.Load(t.Context(), s); err == nil || !strings.Contains(err.Error(), "had asked for 000000") {
			t.Errorf("error is %v", err)
		}
		if r.Paused() || len(r.Requests()) > 0 {
			t.Error("the server was asked for something")
		}
	})
}

// A load that is interrupted while the server reads is given up by the agent,
// which leaves the server whole before Load returns.
func TestInterruptedLoad(t *testing.T) {
	r := newRig(t, nil)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0)); err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	r.Set(bridgetest.Faults{HangReloadAt: begun})
	s := r.publish(t, 2, theta0.Moved(0.2))
	ctx, cancel := context.WithCancel(t.Context())
	var pool errgroup.Group
	pool.Go(func() error { return r.publisher.Load(ctx, s) })
	<-begun
	r.Set(bridgetest.Faults{})
	cancel()
	if err := pool.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if r.Paused() || r.Model().Theta != theta0.Theta {
		t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
	}
	if err := r.publisher.Load(t.Context(), s); err != nil || r.Model().Theta != theta0.Moved(0.2).Theta {
		t.Errorf("the load after: %v, serves %v", err, r.Model())
	}
}

// The same attempt joins its load, whatever became of the connection; another
// takes its place.
func TestAttempts(t *testing.T) {
	r := newRig(t, nil)
	s := r.publish(t, 1, theta0.Moved(0.1))
	q := Request{Attempt: "one", Run: "run1", Version: 1, SHA256: s.SHA256}
	begun := make(chan struct{})
	r.Set(bridgetest.Faults{HangReloadAt: begun})
	cut, cancel := context.WithCancel(t.Context())
	var pool errgroup.Group
	pool.Go(func() error {
		if err := r.publisher.e.Do(cut, http.MethodPost, "/v1/load", q, nil); !errors.Is(err, context.Canceled) {
			return errors.Join(errors.New("the request was answered"), err)
		}
		return nil
	})
	<-begun
	cancel() // the connection is lost, and the load goes on
	if err := pool.Wait(); err != nil {
		t.Fatal(err)
	}
	other := q
	other.Version = 2
	var status *endpoint.StatusError
	if err := r.publisher.e.Do(t.Context(), http.MethodPost, "/v1/load", other, nil); !errors.As(err, &status) || status.Status != http.StatusConflict {
		t.Errorf("the same attempt of another version: %v", err)
	}
	r.Set(bridgetest.Faults{})
	q.Attempt = "two"
	var report Report
	if err := r.publisher.e.Do(t.Context(), http.MethodPost, "/v1/load", q, &report); err != nil || report.State != StateLoaded {
		t.Errorf("a new attempt: %+v, %v", report, err)
	}
	r.Requests()
	var again Report
	if err := r.publisher.e.Do(t.Context(), http.MethodPost, "/v1/load", q, &again); err != nil || cmp.Diff(report, again) != "" {
		t.Errorf("the same once more: %+v, %v", again, err)
	}
	if asked := r.Requests(); len(asked) > 0 {
		t.Errorf("the server was loaded once more: %v", asked)
	}
}

// An agent that is started anew has its snapshots, and loads them without a transfer.
func TestRestartedAgent(t *testing.T) {
	r := newRig(t, nil)
	s := r.publish(t, 1, theta0.Moved(0.1))
	if err := r.publisher.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := r.agent.Close(); err != nil {
		t.Fatal(err)
	}
	second := &rig{Server: r.Server, root: r.root, dir: r.dir}
	second.withShare(t, r.root, nil)
	r.agent = second.agent
	if err := second.publisher.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if p := second.publisher.Last().Pull; p.Fetched != 0 {
		t.Errorf("fetched %+v", p)
	}
}

// A request without the token is refused before anything is looked at, and one
// that is not a request to load before anything is done.
func TestRefusedRequests(t *testing.T) {
	r := newRig(t, nil)
	s := r.publish(t, 1, theta0)
	before := content(t, r.dir)
	good := `{"attempt":"a","run":"run1","version":1,"sha256":"` + s.SHA256 + `"}`
	for _, c := range []struct {
		name, key, method, path, body string
		want                          int
	}{
		{"no token", "", "POST", "/v1/load", good, 401},
		{"another token", strings.Repeat("f", 32), "POST", "/v1/load", good, 401},
		{"no token, no route", "", "GET", "/etc/passwd", "", 401},
		{"no token, status", "", "GET", "/v1/status", "", 401},
		{"a run outside", token, "POST", "/v1/load", strings.Replace(good, "run1", "../../x", 1), 400},
		{"a run with a slash", token, "POST", "/v1/load", strings.Replace(good, "run1", "/x", 1), 400},
		{"a run with a NUL", token, "POST", "/v1/load", strings.Replace(good, "run1", `a\u0000b`, 1), 400},
		{"a version below", token, "POST", "/v1/load", strings.Replace(good, `"version":1`, `"version":-1`, 1), 400},
		{"a source of its own", token, "POST", "/v1/load", strings.Replace(good, `{`, `{"source":"http://169.254.169.254",`, 1), 400},
		{"too much", token, "POST", "/v1/load", good + strings.Repeat(" ", maxRequest), 400},
		{"nothing", token, "POST", "/v1/load", "", 400},
		{"another method", token, "GET", "/v1/load", "", 405},
		{"encoded slashes", token, "GET", "/v1/..%2f..%2fetc%2fpasswd", "", 404},
		{"dots", token, "GET", "/v1/status/../../etc/passwd", "", 404},
		{"a load of nobody", token, "DELETE", "/v1/load/b", "", 404},
		{"live without a version", token, "GET", "/v1/live?run=run1", "", 400},
		{"a route of the server's", token, "POST", "/collective_rpc", "{}", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := endpoint.New(r.publisher.e.URL(), endpoint.Options{APIKey: c.key})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			var status *endpoint.StatusError
			if err := e.Do(t.Context(), c.method, c.path, []byte(c.body), nil); !errors.As(err, &status) || status.Status != c.want || strings.Contains(err.Error(), token) {
				t.Errorf("error is %v, want %d", err, c.want)
			}
		})
	}
	if d := cmp.Diff(before, content(t, r.dir)); d != "" {
		t.Errorf("the folder has changed (-before +after):\n%s", d)
	}
	if entries, err := os.ReadDir(filepath.Dir(r.dir)); err != nil || len(entries) != 1 {
		t.Errorf("beside the folder: %v, %v", entries, err)
	}
	if asked := r.Requests(); len(asked) > 0 {
		t.Errorf("the server was asked %v", asked)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"attempt":"a","run":"run1","version":1,"sha256":"` + strings.Repeat("0", 64) + `"}`))
	f.Add([]byte(`{"attempt":"a","run":"../x","version":1e3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err != nil {
			return
		}
		if p := place(r.Run, r.Version); !filepath.IsLocal(p) || strings.Count(p, string(filepath.Separator)) != 1 || strings.ContainsAny(p, "\x00\\:") {
			t.Errorf("%+v goes to %q", r, p)
		}
	})
}
