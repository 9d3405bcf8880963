//go:build torch

package torch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// What needs the real transformers at hand: `make test-smollm2` says where.

// python runs a script of testdata in the Python of JUSTRL_PYTHON.
func python(t *testing.T, stdin []byte, script string, args ...string) []byte {
	t.Helper()
	name := os.Getenv("JUSTRL_PYTHON")
	if name == "" {
		t.Skip("SKIPPED: JUSTRL_PYTHON is not a Python with torch and transformers; make test-smollm2 sets it")
	}
	cmd := exec.CommandContext(t.Context(), name, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "HF_HUB_DISABLE_PROGRESS_BARS=1", "PYTHONDONTWRITEBYTECODE=1")
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return out.Bytes()
}

// Architectures that nobody chose: Qwen2, Qwen3 and Llama of random sizes,
// heads, biases, ties, scalings, dtypes, shards and spellings of the config.
// JUSTRL_RANDOM_SEED draws others than seed 1's, JUSTRL_RANDOM_COUNT how many.
func TestTransformersRandomArchitectures(t *testing.T) {
	seed, count := setting(t, "JUSTRL_RANDOM_SEED", 1), setting(t, "JUSTRL_RANDOM_COUNT", 8)
	dir := t.TempDir()
	t.Logf("%s", python(t, nil, "make_reference.py", "--random", fmt.Sprint(seed), fmt.Sprint(count), dir))
	for i := range count {
		model := filepath.Join(dir, fmt.Sprintf("random_%d_%d", seed, i))
		t.Run(filepath.Base(model), func(t *testing.T) {
			checkScores(t, model)
			for _, aggregation := range aggregations {
				checkGradient(t, model, aggregation)
			}
			checkUpdates(t, model, 10)
			if !t.Failed() {
				return
			}
			config, err := os.ReadFile(filepath.Join(model, "config.json"))
			t.Logf("%s (%v)", config, err)
		})
	}
}

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// What is exported after training has the names, shapes, dtypes and shards of
// what was loaded, and is the same model to transformers, which finds nothing
// missing or unexpected in it.
func TestTransformersLoadsExports(t *testing.T) {
	type question struct {
		Dir      string    `json:"dir"`
		TokenIDs [][]int32 `json:"token_ids"`
	}
	type answer struct {
		DType    string
		Problems []string
		Logprobs [][]float64
	}
	ctx := context.Background()
	seqs := [][]int32{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {90, 4}, {5, 4, 3, 2, 1, 50, 60, 70, 80, 7, 7, 7, 7, 7, 7, 7}}
	var ours [][]updater.Scores
	var dtypes []string
	var questions bytes.Buffer
	for _, name := range fixtures {
		src, dst := filepath.Join("testdata", name), t.TempDir()
		trainer := openTrainer(t, src, serverOld, func(o *Options) { o.Optimizer.LR = 1e-2 })
		if _, err := trainer.Step(ctx, 0, fixtureBatch(t, name), nil); err != nil {
			t.Fatal(err)
		}
		if err := trainer.Export(ctx, dst); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(layoutOf(t, src), layoutOf(t, dst)); d != "" {
			t.Errorf("%s (-loaded +exported):\n%s", name, d)
		}
		exported := openTrainer(t, dst)
		got, err := exported.Score(ctx, seqs, 1)
		if err != nil {
			t.Fatal(err)
		}
		ours, dtypes = append(ours, got), append(dtypes, exported.Spec().DType)
		if err := json.NewEncoder(&questions).Encode(question{dst, seqs}); err != nil {
			t.Fatal(err)
		}
	}
	answers := json.NewDecoder(bytes.NewReader(python(t, questions.Bytes(), "check_export.py")))
	for i, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			var theirs answer
			if err := answers.Decode(&theirs); err != nil {
				t.Fatal(err)
			}
			if theirs.DType != dtypes[i] || len(theirs.Problems) > 0 {
				t.Errorf("loaded as %s, want %s; %v", theirs.DType, dtypes[i], theirs.Problems)
			}
			for j := range seqs {
				if d := farthest(t, ours[i][j].Logprobs, theirs.Logprobs[j]); !(d < 2e-5) {
					t.Errorf("sequence %d: a log-prob is off by %.3g", j, d)
				}
			}
		})
	}
}

// layoutOf is a folder's files and what they hold.
func layoutOf(t *testing.T, dir string) safetensors.Layout {
	t.Helper()
	set, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	return set.Layout()
}
