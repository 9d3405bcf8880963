//go:build torch && vllm

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
)

// supervised is a real vLLM that is started again whenever it ends, with the
// weights of the shipped policy.
type supervised struct {
	t    *testing.T
	port string
	log  string

	mu      sync.Mutex
	group   int // of its processes
	stopped bool
	ended   sync.WaitGroup
}

func supervise(t *testing.T, name string) *supervised {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &supervised{t: t, port: port, log: filepath.Join(t.TempDir(), name+".log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	s.ended.Go(func() {
		defer log.Close() //nolint:errcheck // it is for whoever looks
		for s.runOnce(log) {
		}
	})
	t.Cleanup(func() {
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
		s.kill()
		s.ended.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(s.log)
			t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
		}
	})
	return s
}

// runOnce runs the server until it ends; false when it is not to be started again.
func (s *supervised) runOnce(log *os.File) bool {
	cmd := exec.Command("../../scripts/vllm-serve", policy, s.port, "--max-model-len", "512") //nolint:noctx // kill ends it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its workers are killed with it
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return false
	}
	err := cmd.Start()
	if err == nil {
		s.group = cmd.Process.Pid
	}
	s.mu.Unlock()
	if err != nil {
		s.t.Error(err)
		return false
	}
	_ = cmd.Wait() // it was killed
	return true
}

func (s *supervised) url() string { return "http://127.0.0.1:" + s.port }

// kill ends all its processes at once.
func (s *supervised) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = unix.Kill(-s.group, unix.SIGKILL)
}

// get reads a route; "" if the server does not answer.
func (s *supervised) get(ctx context.Context, route string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+route, nil)
	if err != nil {
		s.t.Error(err)
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// await asks a route until its answer is as it should be: a real server has no
// other way to tell.
func (s *supervised) await(ctx context.Context, route string, every time.Duration, ok func(reply string) bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if reply := s.get(ctx, route); reply != "" && ok(reply) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s%s: %w", s.url(), route, ctx.Err())
		case <-tick.C:
		}
	}
}

// loaded waits until it has weights that somebody has loaded into it.
func (s *supervised) loaded(ctx context.Context) error {
	return s.await(ctx, "/weight_info", 200*time.Millisecond, func(reply string) bool {
		var shown struct {
			Version string `json:"weight_version"`
		}
		return json.Unmarshal([]byte(reply), &shown) == nil && shown.Version != "" && shown.Version != "default"
	})
}

// sampling tells of /metrics whether requests are under way.
func sampling(metrics string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "vllm:num_requests_running{") && !strings.HasSuffix(strings.TrimSpace(line), " 0.0") {
			return true
		}
	}
	return false
}

// Two real servers; one is killed in the middle of rollouts, the other in the
// middle of a reload, and each is started again by its supervisor. The run ends
// without help, trains on the planned samples, each of its step's version, and
// says what happened.
func TestVLLMFleetSurvives(t *testing.T) {
	const count = 9
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	a, b := supervise(t, "a"), supervise(t, "b")
	for _, s := range []*supervised{a, b} {
		if err := s.await(ctx, "/v1/models", time.Second, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	var killers sync.WaitGroup
	killWhen := func(s *supervised, what, route string, ok func(string) bool) func() {
		return func() {
			killers.Go(func() {
				if err := s.await(ctx, route, 2*time.Millisecond, ok); err != nil {
					t.Errorf("to be killed in %s: %v", what, err)
					return
				}
				s.kill()
				t.Logf("killed %s in %s", s.url(), what)
			})
		}
	}
	back := func(s *supervised) func() {
		return func() { // the run waits here, between two steps, so that it is not over too soon
			if err := s.loaded(ctx); err != nil {
				t.Errorf("to come back: %v", err)
			}
		}
	}
	l := &watching{}
	l.when(killWhen(a, "rollouts", "/metrics", sampling), "step 1/9")
	l.when(back(a), "step 3/9")
	var since time.Time // it is paused
	l.when(killWhen(b, "a reload", "/is_paused", func(reply string) bool {
		if !strings.Contains(reply, "true") {
			since = time.Time{}
			return false
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) > 30*time.Millisecond // of the pause; the weights are read after it
	}), "step 5/9")
	l.when(back(b), "step 7/9")

	out := filepath.Join(t.TempDir(), "run")
	args := []string{"run", "--server", a.url(), "--server", b.url(), "--preset", "tiny-cpu", "--model", policy, "--data", train, "--out", out,
		"--steps", "9", "--set", "optimizer.warmup_steps=0", "--set", "sampling.max_prompt_tokens=256"}
	var stdout bytes.Buffer
	code := cli.Run(ctx, append([]string{"justrl"}, args...), strings.NewReader(""), &stdout, io.MultiWriter(testLog{t}, l))
	cancel()
	killers.Wait()
	if code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	everyRowOnce(t, out, count, 8)
	var events []string
	for i, s := range steps(t, out, count) {
		if !s.Canary.Passed {
			t.Errorf("step %d: %+v", i, s.Canary)
		}
		by := map[string]int{}
		for _, o := range rollouts(t, out, i) {
			by[o.Server]++
			if o.WeightsVersion != s.WeightsVersion {
				t.Errorf("step %d has version %d: sample %d of row %d was drawn with %d", i, s.WeightsVersion, o.Sample, o.Group, o.WeightsVersion)
			}
		}
		for _, p := range s.Servers {
			if by[p.Server] != p.Rollouts || p.Rollouts > 0 && p.Version != s.WeightsVersion {
				t.Errorf("step %d: %+v, the rollouts say %v", i, p, by)
			}
		}
		t.Logf("step %d: %d of a, %d of b; mismatch KL %.2g", i, by[a.url()], by[b.url()], s.KL)
		for _, e := range s.ServerEvents {
			t.Logf("step %d: %+v", i, e)
			if e.Event == journal.ServerStraggles {
				continue
			}
			events = append(events, map[string]string{a.url(): "a ", b.url(): "b "}[e.Server]+e.Event)
		}
	}
	want := "a " + journal.ServerFenced + ", a " + journal.ServerRejoined + ", b " + journal.ServerFenced + ", b " + journal.ServerRejoined
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}
