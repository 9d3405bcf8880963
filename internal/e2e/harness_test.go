//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
)

const example = "../../examples/arithmetic/"

const (
	policy  = example + "policy"
	train   = example + "train.jsonl"
	heldOut = example + "heldout.jsonl"
)

// result is what one command line came to.
type result struct {
	code           int
	stdout, stderr string
}

// justrl runs a command line in this process.
func justrl(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(ctx, append([]string{"justrl"}, args...), strings.NewReader(""), &out, io.MultiWriter(&errs, testLog{t}))
	return result{code, out.String(), errs.String()}
}

// must is justrl, and exit code 0.
func must(t *testing.T, args ...string) result {
	t.Helper()
	r := justrl(t.Context(), t, args...)
	if r.code != cli.ExitOK {
		t.Fatalf("justrl %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r
}

// lastLine is the one line that a failing command ends with.
func (r result) lastLine() string {
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	return lines[len(lines)-1]
}

// testLog shows progress as it comes.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

func readJSON[T any](t *testing.T, path string) T {
	t.Helper()
	var v T
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func summary(t *testing.T, out string) journal.Summary {
	return readJSON[journal.Summary](t, filepath.Join(out, "summary.json"))
}

// steps reads steps.jsonl and checks what every run promises: each step once,
// in order, sampled with the version that the step before made live.
func steps(t *testing.T, out string, want int) []journal.Step {
	t.Helper()
	all := readLines[journal.Step](t, content(t, filepath.Join(out, "steps.jsonl")))
	for i, s := range all {
		if s.Step != i {
			t.Fatalf("steps.jsonl: line %d is of step %d", i+1, s.Step)
		}
		if i > 0 && s.WeightsVersion <= all[i-1].WeightsVersion {
			t.Fatalf("step %d was sampled with version %d, the step before with %d", s.Step, s.WeightsVersion, all[i-1].WeightsVersion)
		}
	}
	if len(all) != want {
		t.Fatalf("%d steps recorded, want %d", len(all), want)
	}
	return all
}

// shared finds a file beside the repository that is not part of it.
func shared(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: %s is not on this machine", path)
	}
	return path
}

func accuracies(s journal.Summary) string {
	v := s.Validation["heldout"]
	return fmt.Sprintf("T = 1 training reward %+.3f → %+.3f, greedy held-out accuracy %.3f → %.3f", s.RewardFirst, s.RewardLast, v.First, v.Last)
}
