package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/dashboard"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/notify"
	"github.com/justrl/justrl/orchestrator/tensorboard"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// begun is a new run directory, open.
func begun(t testing.TB) (*journal.Dir, journal.Info) {
	t.Helper()
	info := journal.Info{ID: "ab12", Host: "here", Started: time.Unix(1000, 0).UTC()}
	dir, err := journal.Create(filepath.Join(t.TempDir(), "run"), info, []byte("seed: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir, info
}

// A run that fails in its second step, as everybody outside sees it.
func TestOutside(t *testing.T) {
	dir, info := begun(t)
	told := filepath.Join(t.TempDir(), "told")
	script := file(t, "tell", "cat >>"+told+"\n")
	cfg := config.Config{Preset: "tiny-cpu", Steps: 9, Notify: config.Notify{Command: []string{"/bin/sh", script}, Timeout: config.Duration(time.Minute)}}
	var said bytes.Buffer
	web := &listening{Server: dashboard.New("")}
	o, err := openOutside(cfg, info, dir, newProgress(&said, "text", cfg, nil), web)
	if err != nil {
		t.Fatal(err)
	}
	all := o.observers()
	all.Phase(0, "sample")
	o.Rollout(sampler.Row{}, sampler.Rollout{TokenIDs: make([]int32, 7)}, nil)
	all.StepDone(journal.Step{Step: 0, ScoreMean: 0.25, Tokens: 70}, 9)
	all.Validated(0, "held", 0.5, nil)
	o.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerFenced, Reason: "gone"})
	o.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerRejoined, Version: 2, Seconds: 3})
	all.Event(journal.Event{Signature: "reward_drop", Action: "warn", Message: "it fell by 0.5", Evidence: map[string]float64{"fell": 0.5}})
	o.ended(t.Context(), journal.Summary{}, errors.New("step 1: no\nroom"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Host = "localhost"
	web.ServeHTTP(w, r)
	for _, want := range []string{
		"justrl_reward_mean 0.25", "justrl_tokens_total 70", "justrl_rollout_tokens_total 7", `justrl_validation_accuracy_ratio{sampling="validation",set="held"} 0.5`,
		`justrl_server_events_total{event="fenced"} 1`, `justrl_events_total{action="warn",signature="reward_drop"} 1`, `justrl_servers{state="fenced"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("/metrics does not say %s", want)
		}
	}
	b, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(string(b)) {
		var e notify.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Run != "ab12" || e.Dir != dir.Path() || e.Host != "here" || e.Steps != 9 || e.Time.IsZero() {
			t.Errorf("%s lacks what every event has", line)
		}
		events = append(events, fmt.Sprintf("%s %d %s%s: %s", e.Event, e.Step, e.Server, e.Signature, e.Message))
	}
	want := []string{
		"run_started 0 : 0 of 9 steps are done", "server_fenced 1 http://a: gone", "server_rejoined 1 http://a: back after 3.0 s with weights version 2",
		"signature 1 reward_drop: it fell by 0.5", "run_failed 1 : step 1: no; room",
	}
	if !slices.Equal(events, want) {
		t.Errorf("told %q, want %q", events, want)
	}
	files, err := filepath.Glob(filepath.Join(dir.Path(), tensorboard.Folder, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("TensorBoard's files: %v, %v", files, err)
	}
	if b, err := os.ReadFile(files[0]); err != nil || !bytes.Contains(b, []byte("critic/score/mean")) || !bytes.Contains(b, []byte("validation/held")) || !bytes.Contains(b, []byte("**reward_drop** (warn): it fell by 0.5")) {
		t.Errorf("it lacks something: %v", err)
	}
}

// Where nothing can be written, and the program of the user's is not there, a
// run says so and goes on.
func TestOutsideThatFails(t *testing.T) {
	dir, info := begun(t)
	if err := os.WriteFile(filepath.Join(dir.Path(), tensorboard.Folder), nil, 0o600); err != nil { // no folder
		t.Fatal(err)
	}
	cfg := config.Config{Steps: 9, Notify: config.Notify{Command: []string{"/no/such/program"}, Timeout: config.Duration(time.Minute)}}
	var said bytes.Buffer
	o, err := openOutside(cfg, info, dir, newProgress(&said, "text", cfg, nil), &listening{Server: dashboard.New("")})
	if err != nil {
		t.Fatal(err)
	}
	o.observers().StepDone(journal.Step{}, 9)
	o.observers().Event(journal.Event{Signature: "reward_drop", Action: "warn"})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"TensorBoard's files: ", "notify.command: fork/exec /no/such/program: no such file or directory; the run goes on without\n", "notify.command failed 2 times\n", "step 1/9  reward"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q does not say %q", said.String(), want)
		}
	}
}

// Where --listen is refused, and what it then answers.
func TestListen(t *testing.T) {
	for _, c := range []struct {
		name, address, token, want string
	}{
		{"no port", "8501", "", `--listen must be HOST:PORT, is "8501"`},
		{"open to others", "0.0.0.0:0", "", guard.ErrOpen.Error() + "; give --listen-token-file FILE or JUSTRL_LISTEN_TOKEN"},
		{"a token that can be guessed", "0.0.0.0:0", "short", "--listen-token-file or JUSTRL_LISTEN_TOKEN: the token has 5 characters, needs 16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(listenVariable, c.token)
			code, _, stderr := run(t, "run", "--preset", "tiny-cpu", "--model", t.TempDir(), "--data", "x.jsonl", "--out", filepath.Join(t.TempDir(), "run"), "--listen", c.address)
			if code != ExitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("%d: %q does not say %q", code, stderr, c.want)
			}
		})
	}
}

// What everybody outside costs a step, all together: the terminal's line, the
// event file, Prometheus' figures, an event in the queue of the user's program.
func BenchmarkOutside(b *testing.B) {
	dir, info := begun(b)
	cfg := config.Config{Steps: math.MaxInt32, Notify: config.Notify{Timeout: config.Duration(time.Minute)}}
	o, err := openOutside(cfg, info, dir, newProgress(io.Discard, "text", cfg, nil), &listening{Server: dashboard.New("")})
	if err != nil {
		b.Fatal(err)
	}
	all := o.observers()
	s := journal.Step{Ended: time.Now(), Updates: make([]updater.UpdateMetrics, 4), Drawn: &journal.Drawn{}, Servers: make([]journal.ServerPart, 4)}
	for b.Loop() {
		s.Step++
		for _, phase := range []string{"sample", "update", "publish"} {
			all.Phase(s.Step, phase)
		}
		for range 512 {
			o.Rollout(sampler.Row{}, sampler.Rollout{}, nil)
		}
		all.StepDone(s, cfg.Steps)
	}
	b.StopTimer()
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
}
