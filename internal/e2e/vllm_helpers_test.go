//go:build torch && vllm

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
)

func asFloats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// stopAfter is a stderr that calls stop once a line has been seen.
type stopAfter struct {
	line string
	stop func()
	seen bytes.Buffer
}

func (s *stopAfter) Write(b []byte) (int, error) {
	s.seen.Write(b)
	if strings.Contains(s.seen.String(), s.line) {
		s.stop()
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
	b, err := os.ReadFile(filepath.Join(out, "steps.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// rolloutGroups is the ordinals of a step's groups, in the order of the file.
func rolloutGroups(t *testing.T, out string, step int) []int64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(out, "rollouts", fmt.Sprintf("step-%06d.jsonl", step)))
	if err != nil {
		t.Fatal(err)
	}
	var ordinals []int64
	for line := range bytes.Lines(b) {
		var r journal.Rollout
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if len(ordinals) == 0 || ordinals[len(ordinals)-1] != r.Group {
			ordinals = append(ordinals, r.Group)
		}
	}
	return ordinals
}

// allOrdinals checks that the ordinals of all steps are 0, 1, 2 … and returns them.
func allOrdinals(t *testing.T, out string, steps int) []int64 {
	t.Helper()
	var all []int64
	for s := range steps {
		all = append(all, rolloutGroups(t, out, s)...)
	}
	for i, o := range all {
		if o != int64(i) {
			t.Fatalf("row %d of the run has ordinal %d", i, o)
		}
	}
	return all
}
