//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/safetensors"
)

// stopAfter is a stderr that calls stop once a line has been seen.
type stopAfter struct {
	line string
	stop func()

	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *stopAfter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Write(b)
	if strings.Contains(s.seen.String(), s.line) {
		s.stop()
	}
	return len(b), nil
}

// watching is a stderr that does something when a line is seen that has all of some
// words, once.
type watching struct {
	mu   sync.Mutex
	rest string
	on   []reaction
}

type reaction struct {
	words []string
	do    func()
}

func (l *watching) when(do func(), words ...string) { l.on = append(l.on, reaction{words, do}) }

func (l *watching) Write(b []byte) (int, error) {
	l.mu.Lock()
	var now []func()
	l.rest += string(b)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			break
		}
		l.rest = rest
		l.on = slices.DeleteFunc(l.on, func(r reaction) bool {
			for _, w := range r.words {
				if !strings.Contains(line, w) {
					return false
				}
			}
			now = append(now, r.do)
			return true
		})
	}
	l.mu.Unlock()
	for _, do := range now {
		do()
	}
	return len(b), nil
}

func justrlTo(ctx context.Context, t *testing.T, stderr *stopAfter, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	code := cli.Run(ctx, append([]string{"justrl"}, args...), strings.NewReader(""), &out, io.MultiWriter(stderr, testLog{t}))
	return result{code, out.String(), stderr.seen.String()}
}

func countSteps(t *testing.T, out string) int {
	t.Helper()
	return bytes.Count(content(t, filepath.Join(out, "steps.jsonl")), []byte("\n"))
}

// rollouts are those of a step, as the journal has them.
func rollouts(t *testing.T, out string, step int) (all []journal.Rollout) {
	t.Helper()
	recorded, err := journal.ReadRollouts(out, step)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorded {
		all = append(all, r.Rollout)
	}
	return all
}

// everyRowOnce checks that over all steps the rows are 0, 1, 2 …, each with
// the samples 0 … n-1.
func everyRowOnce(t *testing.T, out string, steps, n int) {
	t.Helper()
	seen := 0
	for s := range steps {
		for _, r := range rollouts(t, out, s) {
			if r.Group != int64(seen/n) || r.Sample != seen%n {
				t.Fatalf("rollout %d of the run is sample %d of row %d, want sample %d of row %d", seen, r.Sample, r.Group, seen%n, seen/n)
			}
			seen++
		}
	}
}

// dropCheckpoint takes a checkpoint away, as if the process had died before it.
func dropCheckpoint(t *testing.T, out string, step int) {
	t.Helper()
	dir := filepath.Join(out, "checkpoints", fmt.Sprintf("step-%06d", step))
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func sha256Of(t *testing.T, dir string) string {
	t.Helper()
	set, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	sum, err := set.SHA256()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// floats reads every float32 tensor of a model folder.
func floats(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	set, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	out := map[string][]float32{}
	for _, name := range set.Names() {
		if out[name], err = asFloats(set, name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func asFloats(set *safetensors.Set, name string) ([]float32, error) {
	b, err := set.Bytes(name)
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, err
}
