//go:build torch

package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
)

// host is an address at which a scripted server can be killed, connections and
// all, and started again, with the weights that it began with.
type host struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	server *openaitest.Server
	http   *http.Server
	serves sync.WaitGroup
	before func(r *http.Request, body []byte) // of every request that arrives
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t}
	h.start("127.0.0.1:0")
	t.Cleanup(func() {
		h.kill()
		h.serves.Wait()
	})
	return h
}

// start begins to serve.
func (h *host) start(addr string) {
	l, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", addr)
	if err != nil {
		h.t.Error(err)
		return
	}
	server := scripted(h.t, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.url, h.server, h.http = "http://"+l.Addr().String(), server, &http.Server{Handler: http.HandlerFunc(h.serve)}
	running := h.http
	h.serves.Go(func() { _ = running.Serve(l) }) // until it is closed
}

func (h *host) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.mu.Lock()
	before := h.before
	h.mu.Unlock()
	if before != nil {
		before(r, body)
	}
	h.mu.Lock()
	to, err := url.Parse(h.server.URL)
	h.mu.Unlock()
	if err != nil {
		h.t.Error(err)
		return
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // as a dead server
	proxy.ServeHTTP(w, r)
}

// kill ends it as SIGKILL does.
func (h *host) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.http.Close() // the listener and every connection
	h.server.Close()
}

// restart starts it again after a kill.
func (h *host) restart() { h.start(strings.TrimPrefix(h.url, "http://")) }

// replace restarts it so fast that nobody sees it go.
func (h *host) replace() {
	server := scripted(h.t, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server = server
}

// on calls do before the n-th request from now whose path and body fit, from 1.
func (h *host) on(path, body string, n int, do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.before
	h.before = func(r *http.Request, b []byte) {
		if was != nil {
			was(r, b)
		}
		if r.URL.Path != path || !bytes.Contains(b, []byte(body)) {
			return
		}
		h.mu.Lock()
		n--
		now := n == 0
		h.mu.Unlock()
		if now {
			do()
		}
	}
}

// each calls do before every request for rollouts of training.
func (h *host) each(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.before
	h.before = func(r *http.Request, b []byte) {
		if was != nil {
			was(r, b)
		}
		if r.URL.Path == "/v1/completions" && bytes.Contains(b, []byte(isTraining)) {
			do()
		}
	}
}

// isTraining is in the request for the rollouts of a row, and in no probe.
const isTraining = `"temperature":1,`

// A run goes on, without help, however its servers die, lie and come back: it
// trains on the planned samples, each of the step's version, and ends with the
// weights of a run that nothing happened to.
func TestRunSurvivesItsServers(t *testing.T) {
	const count = 5
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	must(t, small(scripted(t, nil), whole, "--steps", "5", "--set", "optimizer.warmup_steps=0")...)

	for _, tc := range []struct {
		name  string
		alone bool
		harm  func(a, b *host, l *watching) // happens after step 1; a is restored when it is said not to be back yet
		// fenced is why a is, in the words of steps.jsonl.
		fenced []string
		both   bool // b is out too
		taken  bool // a's rollouts are drawn again
		heals  func(a *host)
	}{
		{name: "one is killed in the middle of rollouts", fenced: []string{"the server closed the connection", "connection re", "EOF"},
			harm: func(a, _ *host, _ *watching) { a.on("/v1/completions", isTraining, 1, a.kill) }, heals: (*host).restart},
		{name: "one is killed in the middle of a reload", fenced: []string{"/collective_rpc"},
			harm: func(a, _ *host, _ *watching) { a.on("/collective_rpc", "", 1, a.kill) }, heals: (*host).restart},
		{name: "both are gone for a while", both: true, fenced: []string{"connection", "EOF"},
			harm: func(a, b *host, l *watching) {
				a.on("/v1/completions", isTraining, 1, func() { b.kill(); a.kill() })
				l.when(b.restart, "server "+b.url+" is not back yet")
			}, heals: (*host).restart},
		{name: "one keeps its old weights", fenced: []string{"canary (own)", "acknowledged the reload but still answers"},
			harm:  func(a, _ *host, _ *watching) { a.server.Set(func(o *openaitest.Options) { o.KeepOldWeights = true }) },
			heals: func(a *host) { a.server.Set(func(o *openaitest.Options) { o.KeepOldWeights = false }) }},
		{name: "one is restarted, and nobody sees it: what it sampled then is drawn again", taken: true, fenced: []string{"canary (idle)"},
			harm: func(a, _ *host, _ *watching) { a.replace() }, heals: func(*host) {}},
		{name: "the only one is killed in the middle of rollouts", alone: true, fenced: []string{"connection", "EOF"},
			harm: func(a, _ *host, _ *watching) { a.on("/v1/completions", isTraining, 3, a.kill) }, heals: (*host).restart},
		{name: "the only one is killed in the middle of a reload", alone: true, fenced: []string{"/collective_rpc"},
			harm: func(a, _ *host, _ *watching) { a.on("/collective_rpc", "", 1, a.kill) }, heals: (*host).restart},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newHost(t), newHost(t)
			out := filepath.Join(t.TempDir(), "run")
			args := small(&openaitest.Server{URL: a.url}, out, "--steps", "5", "--set", "optimizer.warmup_steps=0", "--set", "sampling.concurrency=4")
			if !tc.alone {
				args = append(args, "--server", b.url)
			}
			rejoined := make(chan struct{})
			l := &watching{}
			l.when(func() { tc.harm(a, b, l) }, "step 1/5")
			l.when(func() { tc.heals(a) }, "server "+a.url+" is not back yet")
			l.when(func() { close(rejoined) }, "server "+a.url+" rejoined")
			l.when(func() { // the last step waits, so that nobody comes too late
				b.each(func() {
					select {
					case <-rejoined:
					case <-t.Context().Done():
					}
				})
			}, "step 4/5")
			var stdout bytes.Buffer
			code := cli.Run(t.Context(), append([]string{"justrl"}, args...), strings.NewReader(""), &stdout, io.MultiWriter(l, testLog{t}))
			if code != cli.ExitOK {
				t.Fatalf("exit code %d", code)
			}
			var but []string
			if tc.taken { // what was drawn again is counted
				but = []string{"TokensResampled", "FLOPsGenerated"}
			}
			sameRun(t, whole, out, count, but...)
			everyRowOnce(t, out, count, 4)
			var fenced, rejoins []journal.ServerEvent
			taken := 0
			for i, s := range steps(t, out, count) {
				for _, o := range rollouts(t, out, i) {
					if o.WeightsVersion != s.WeightsVersion {
						t.Errorf("step %d has version %d: sample %d of row %d was drawn with %d", i, s.WeightsVersion, o.Sample, o.Group, o.WeightsVersion)
					}
					if known := o.Server == a.url || o.Server == b.url; known == tc.alone {
						t.Errorf("step %d: a rollout is from %q", i, o.Server)
					}
				}
				given, of := 0, 0
				for _, p := range s.Servers {
					given += p.Rollouts
					if p.Server == a.url {
						of = p.Fenced
					}
					if (p.Rollouts > 0) != (p.Tokens > 0) || p.Rollouts > 0 && p.Seconds <= 0 {
						t.Errorf("step %d: %+v", i, p)
					}
				}
				if given != len(rollouts(t, out, i)) {
					t.Errorf("step %d: the servers gave %d rollouts: %+v", i, given, s.Servers)
				}
				for _, e := range s.ServerEvents {
					switch {
					case e.Event == journal.ServerStraggles: // as the last step waits
					case e.Server == a.url && e.Event == journal.ServerFenced:
						of--
						fenced, taken = append(fenced, e), taken+e.TakenBack
					case e.Server == a.url:
						rejoins = append(rejoins, e)
					case !tc.both:
						t.Errorf("step %d: %+v", i, e)
					}
				}
				if of != 0 {
					t.Errorf("step %d: its figures tell of %d fencings more than its events", i, of)
				}
			}
			if len(fenced) == 0 || len(rejoins) == 0 || rejoins[0].Version < 2 || rejoins[0].Seconds <= 0 {
				t.Fatalf("fenced %+v, rejoined %+v", fenced, rejoins)
			}
			if !slices.ContainsFunc(tc.fenced, func(w string) bool { return strings.Contains(fenced[0].Reason, w) }) {
				t.Errorf("fenced because of %q, want one of %q", fenced[0].Reason, tc.fenced)
			}
			if (taken > 0) != tc.taken {
				t.Errorf("%d rollouts were taken back", taken)
			}
			if s := summary(t, out); s.Fenced == 0 || s.Rejoined == 0 {
				t.Errorf("summary %+v", s)
			}
		})
	}
}

// A server that is down when the run begins is fenced, and comes in when it is there.
func TestRunBeginsWithoutOne(t *testing.T) {
	a, b := newHost(t), newHost(t)
	a.kill()
	out := filepath.Join(t.TempDir(), "run")
	rejoined := make(chan struct{})
	l := &watching{}
	l.when(a.restart, "server "+a.url+" is not back yet")
	l.when(func() { close(rejoined) }, "server "+a.url+" rejoined")
	l.when(func() {
		b.each(func() {
			select {
			case <-rejoined:
			case <-t.Context().Done():
			}
		})
	}, "step 1/3")
	args := append(small(&openaitest.Server{URL: a.url}, out, "--steps", "3"), "--server", b.url)
	var stdout bytes.Buffer
	if code := cli.Run(t.Context(), append([]string{"justrl"}, args...), strings.NewReader(""), &stdout, io.MultiWriter(l, testLog{t})); code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	everyRowOnce(t, out, 3, 4)
	if s := summary(t, out); s.Fenced != 1 || s.Rejoined != 1 {
		t.Errorf("summary %+v", s)
	}
	b.kill()
	a.kill()
	dir := t.TempDir()
	refused(t, cli.ExitServer, []string{a.url, b.url, "start the server"}, dir,
		append(small(&openaitest.Server{URL: a.url}, filepath.Join(dir, "run")), "--server", b.url)...)
}
