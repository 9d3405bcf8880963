package bridgetest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// recorder is a test that may fail without failing the one around it.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }

// A publisher that lets a half-loaded model be sampled from must not pass: it would end a real server.
func TestSamplingABrokenModelFailsTheTest(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults Faults
		dir    string // instead of a good one
		paused bool
		fails  bool
	}{
		{"a whole model", Faults{}, "", false, false},
		{"after a reload that failed", Faults{FailReloads: 1}, "", false, true},
		{"after a reload that was cut", Faults{CutReloads: 1}, "", false, true},
		{"after a reload of nothing", Faults{}, "/nowhere", false, true},
		{"broken, but paused: nobody gets to it", Faults{FailReloads: 1}, "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Model{Theta: [8]float64{1}}
			dir := t.TempDir()
			if err := m.Export(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if c.dir != "" {
				dir = c.dir
			}
			r := &recorder{TB: t}
			s := NewServer(r, m)
			s.Set(c.faults)
			if c.paused {
				post(t, s.URL+"/pause", "")
			}
			post(t, s.URL+"/collective_rpc", fmt.Sprintf(`{"method":"reload_weights","kwargs":{"weights_path":%q}}`, dir))
			post(t, s.URL+"/v1/completions", `{"prompt":[1,2,3]}`)
			for _, f := range r.cleanups {
				f()
			}
			if failed := len(r.errors) == 1 && strings.Contains(r.errors[0], "a broken model was sampled from"); failed != c.fails {
				t.Errorf("the test was told %q", r.errors)
			}
		})
	}
}

// post sends a request; whether there is a reply is no matter.
func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err == nil {
		err = resp.Body.Close()
	}
	t.Log(url, err)
}
