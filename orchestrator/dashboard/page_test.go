package dashboard

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask is what a path is answered with.
func ask(t testing.TB, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// What each route says, and what it says where there is nothing.
func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 30, 40)
	p, s := looked(dir, 30, 40, "")
	p.Phase(30, "sample")
	p.Rollout(100)
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/", 200, []string{"examples/arithmetic", "5ca1ab1e", `src="/assets/page.js"`}},
		{"/assets/page.js", 200, []string{"EventSource"}},
		{"/assets/style.css", 200, []string{"--paper"}},
		{"/assets/page.html", 404, nil},
		{"/assets/none", 404, nil},
		{"/api/state", 200, []string{`"phase":"sample"`, `"rollouts":1`, `"of":2048`, `"tokens":100`, `"planned":40`, `"fenced":true`}},
		{"/api/curves", 200, []string{`"from":0,"to":30,"planned":40`, `"id":"reward"`, `"id":"tokens"`, `"format":"percent"`}},
		{"/api/curves?after=28", 200, []string{`"from":28,"to":30`, `"x":[29,30]`}},
		{"/api/curves?after=30", 200, []string{`"from":30,"to":30`, `"x":null`, `"dots":true`}},
		{"/api/curves?after=31", 200, []string{`"from":0,"to":30`}},
		{"/api/curves?after=x", 400, []string{"after must be a whole number"}},
		{"/api/curves?after=-1", 400, nil},
		{"/api/events", 200, []string{`"count":2`, `\u003cscript\u003e`}},
		{"/api/rollouts", 200, []string{`"step":29`, `\u003cscript\u003e`, `"steps":[27,28,29]`}},
		{"/api/rollouts?step=27", 200, []string{`"step":27`}},
		{"/api/rollouts?step=2", 200, []string{`"excerpt":null`}},
		{"/api/heldout", 200, []string{"AIME24", "wrong before, right after"}},
		{"/report.html", 200, []string{"Not finished: 30 of 40", "Content-Security-Policy"}},
		{"/report.html/../config.yaml", 307, nil},
		{"/config.yaml", 404, nil},
	} {
		w := ask(t, s, c.path)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %.300s", c.path, w.Code, c.status, w.Body)
		}
		for _, want := range c.want {
			if !strings.Contains(strings.ReplaceAll(w.Body.String(), "\u00a0", " "), want) {
				t.Errorf("%s does not say %q: %.2000s", c.path, want, w.Body)
			}
		}
		if kind := w.Header().Get("Content-Type"); w.Code == 200 && w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a browser may guess what %s is", c.path, kind)
		}
	}
	if csp := ask(t, s, "/").Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("the page's policy is %q", csp)
	}
	for path := range assets {
		if b := string(assets[path]); strings.Contains(b, "http://") && !strings.Contains(b, "http://www.w3.org/2000/svg") || strings.Contains(b, "https://") || strings.Contains(b, "innerHTML") {
			t.Errorf("%s asks elsewhere, or makes HTML of text", path)
		}
	}
}

// A run that has done nothing, or whose files are gone, has a page too.
func TestRoutesOfAnEmptyRun(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 0, 40)
	_, s := looked(dir, 0, 40, "")
	if w := ask(t, s, "/api/curves"); w.Code != 200 || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"to":0`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	_, gone := looked(t.TempDir(), 0, 40, "")
	if w := ask(t, gone, "/api/curves"); w.Code != 500 || !strings.Contains(w.Body.String(), "run.json") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(t, gone, "/api/rollouts"); w.Code != 200 || !strings.Contains(w.Body.String(), `"excerpt":null`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What is compressed is the same.
func TestCompressed(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 30, 40)
	_, s := looked(dir, 30, 40, "")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/curves", nil)
	r.Host = "localhost"
	r.Header.Set("Accept-Encoding", "gzip, br")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if want := ask(t, s, "/api/curves").Body.String(); err != nil || string(got) != want {
		t.Errorf("%v, %d bytes, want %d", err, len(got), len(want))
	}
}

// follow reads states of a stream.
func follow(t *testing.T, address string) (next func() state, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r) //nolint:bodyclose // stop does
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() state {
			t.Helper()
			for lines.Scan() {
				text, ok := strings.CutPrefix(lines.Text(), "data: ")
				if !ok || text == "{}" {
					continue
				}
				var m struct {
					Now   int64
					State state
				}
				if err := json.Unmarshal([]byte(text), &m); err != nil || m.Now == 0 {
					t.Fatalf("%v: %s", err, text)
				}
				return m.State
			}
			t.Fatalf("the stream ended: %v", lines.Err())
			return state{}
		}, func() {
			cancel()
			_ = resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
		}
}

// until is the first state that is so.
func until(next func() state, so func(state) bool) state {
	for {
		if s := next(); so(s) {
			return s
		}
	}
}

// A stream says what is at once, then what happens; one that begins later says
// the same, and of another process says so.
func TestStream(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	p, s := looked(dir, 3, 9, "")
	server := httptest.NewServer(s)
	defer server.Close()
	next, stop := follow(t, server.URL)
	defer stop()
	first := next()
	if first.Phase != "" || first.Planned != 9 || first.Files["steps"] == 0 || first.Pace == 0 {
		t.Errorf("%+v", first)
	}
	p.Phase(3, "sample")
	p.Rollout(7)
	got := until(next, func(s state) bool { return s.Rollouts == 1 })
	if got.Phase != "sample" || got.Tokens != 7 || got.Batch != 1 || got.Began == 0 {
		t.Errorf("%+v", got)
	}
	p.Phase(3, "sample") // another batch (sampling.dynamic)
	if got := until(next, func(s state) bool { return s.Batch == 2 }); got.Rollouts != 0 {
		t.Errorf("%+v", got)
	}
	p.Phase(3, "update")
	appendSteps(t, dir, 3, 4, 9)
	p.StepDone(fixtureStep(3, 9), 9)
	grown := until(next, func(s state) bool { return s.Files["steps"] > first.Files["steps"] })
	late, stopLate := follow(t, server.URL)
	if got := late(); got.Instance != first.Instance || got.Files["steps"] != grown.Files["steps"] || got.Phase != "update" {
		t.Errorf("who comes later is told %+v", got)
	}
	stopLate()
	p.Ended("Finished: 9 steps")
	until(next, func(s state) bool { return s.Ended == "Finished: 9 steps" })
	if other, _ := looked(dir, 4, 9, ""); other.instance == first.Instance {
		t.Error("two processes have one instance")
	}
}

// So many may follow, and no more; who leaves makes room.
func TestCrowded(t *testing.T) {
	p, s := looked(t.TempDir(), 0, 9, "")
	var all []chan struct{}
	for range mostClients {
		c, err := p.join()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if w := ask(t, s, "/api/live"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	p.Phase(0, "sample") // nobody takes it: nobody is waited for
	p.Phase(0, "update")
	p.leave(all[0])
	if _, err := p.join(); err != nil {
		t.Error(err)
	}
}

// cookies are those that an answer sets.
func cookies(w *httptest.ResponseRecorder) []*http.Cookie {
	return (&http.Response{Header: w.Header()}).Cookies()
}

// A browser gives the token once; its cookie is good for that token alone.
func TestLogin(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	_, s := looked(dir, 3, 9, secret)
	_, other := looked(dir, 3, 9, secret+"0")
	do := func(s *Server, method, path, token string, cookie *http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	if r := do(s, http.MethodGet, "/", "", nil); r.Code != 303 || r.Header().Get("Location") != "/login" {
		t.Errorf("without: %d to %s", r.Code, r.Header().Get("Location"))
	}
	for _, wrong := range []string{"", "x", secret + "0", secret[1:]} {
		if r := do(s, http.MethodPost, "/login", wrong, nil); r.Code != 401 || len(cookies(r)) > 0 {
			t.Errorf("%q: %d", wrong, r.Code)
		}
	}
	r := do(s, http.MethodPost, "/login", secret, nil)
	if r.Code != 303 || len(cookies(r)) != 1 {
		t.Fatalf("%d, %d cookies", r.Code, len(cookies(r)))
	}
	c := cookies(r)[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || strings.Contains(c.Value+c.Name, secret) {
		t.Errorf("the cookie is %s", c)
	}
	for _, k := range []struct {
		name string
		to   *Server
		path string
		c    *http.Cookie
		want int
	}{
		{"the page", s, "/", c, 200}, {"its data", s, "/api/state", c, 200}, {"another run's", other, "/api/state", c, 401},
		{"a made-up one", s, "/api/state", &http.Cookie{Name: c.Name, Value: strings.Repeat("0", len(c.Value))}, 401}, {"none", s, "/api/live", nil, 401},
	} {
		if r := do(k.to, http.MethodGet, k.path, "", k.c); r.Code != k.want {
			t.Errorf("%s: %d, want %d", k.name, r.Code, k.want)
		}
	}
}

// What a step and a rollout cost the run: with nobody looking, and with as many
// as may.
func BenchmarkRun(b *testing.B) {
	for name, clients := range map[string]int{"nobody": 0, "all": mostClients} {
		p, _ := looked(b.TempDir(), 0, 9, "")
		for range clients {
			if _, err := p.join(); err != nil {
				b.Fatal(err)
			}
		}
		step := fixtureStep(3, 9)
		b.Run("step/"+name, func(b *testing.B) {
			for b.Loop() {
				for _, phase := range []string{"sample", "update", "publish"} {
					p.Phase(3, phase)
				}
				p.StepDone(step, 9)
			}
		})
		b.Run("rollout/"+name, func(b *testing.B) {
			for b.Loop() {
				p.Rollout(1000)
			}
		})
	}
}

// What a browser that opens a run of 5,000 steps costs: once, and for a step more.
func BenchmarkCurves(b *testing.B) {
	dir := b.TempDir()
	fixture(b, dir, 5000, 6000)
	for _, path := range []string{"/api/curves", "/api/curves?after=4999"} {
		_, s := looked(dir, 0, 6000, "")
		ask(b, s, path)
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				ask(b, s, path)
			}
		})
	}
}
