//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/internal/viewerstest"
)

// A run seen from outside: Prometheus asks while it goes on, a program is told,
// stderr is JSON to the last line; interrupted and resumed, TensorBoard has each
// of its steps once, with the value of steps.jsonl.
func TestRunSeenFromOutside(t *testing.T) {
	server := scripted(t, nil)
	out, told := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "told")
	script := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(script, []byte("cat >>"+told+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var scraped string
	var said bytes.Buffer
	stderr := &watching{}
	stderr.when(func() {
		url := regexp.MustCompile(`"url":"([^"]+)"`).FindStringSubmatch(said.String())
		if url == nil {
			t.Fatalf("where it listens is not said: %s", said.String())
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url[1]+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		scraped = string(b)
		stop()
	}, `"msg":"step"`, `"step":1,`)
	args := small(server, out, "--steps", "4", "--log", "json", "--listen", "127.0.0.1:0", "--set", `notify.command=[/bin/sh, "`+script+`"]`, "--set", "checkpoint.every=1")
	var stdout bytes.Buffer
	if code := cli.Run(ctx, append([]string{"justrl"}, args...), strings.NewReader(""), &stdout, io.MultiWriter(&said, stderr, testLog{t})); code != cli.ExitInterrupted {
		t.Fatalf("exit code %d\n%s", code, said.String())
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	for i, line := range lines {
		var event struct{ Level, Msg, Err string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Errorf("%v in line %d of stderr: %s", err, i+1, line)
		}
		if last := i == len(lines)-1; last && (event.Msg != "interrupted" || !strings.Contains(event.Err, "--resume --out "+out)) {
			t.Errorf("the last line: %s", line)
		}
	}
	for _, want := range []string{"justrl_steps_planned 4\n", "justrl_servers{state=\"admitted\"} 1\n", "justrl_rollouts_total 64\n", "justrl_step_seconds{phase=\"update\"} "} {
		if !strings.Contains(scraped, want) {
			t.Errorf("/metrics does not say %q", want)
		}
	}
	must(t, "run", "--resume", "--out", out)

	var kinds []string
	for _, e := range readLines[struct{ Event string }](t, content(t, told)) {
		kinds = append(kinds, e.Event)
	}
	if got := strings.Join(kinds, " "); got != "run_started run_interrupted run_started run_finished" {
		t.Errorf("told %q", got)
	}
	const look = `
import json, sys
from tensorboard.backend.event_processing import event_accumulator as ea
a = ea.EventAccumulator(sys.argv[1], size_guidance={ea.SCALARS: 0}); a.Reload()
print(json.dumps([[e.step, e.value] for e in a.Scalars("critic/score/mean")]))`
	var got [][2]float64
	if err := json.Unmarshal([]byte(viewerstest.Python(t, look, filepath.Join(out, "tb"))), &got); err != nil {
		t.Fatal(err)
	}
	recorded := steps(t, out, 4)
	if len(got) != 4 {
		t.Fatalf("TensorBoard has %v", got)
	}
	for i, s := range recorded {
		if got[i] != [2]float64{float64(i), float64(float32(s.ScoreMean))} {
			t.Errorf("TensorBoard has %v of step %d, steps.jsonl %g", got[i], i, s.ScoreMean)
		}
	}
}
