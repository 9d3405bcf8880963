//go:build torch

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// What PyTorch computed for a fixture (updater/torch/testdata/make_reference.py).
type reference struct {
	Forward []struct {
		Temperature    float64
		PromptTokenIDs []int32 `json:"prompt_token_ids"`
		TokenIDs       []int32 `json:"token_ids"`
		Logprobs       []float64
		Entropy        []float64
	}
	Updates []struct {
		PGLoss    float64 `json:"pg_loss"`
		ClipFrac  float64 `json:"pg_clipfrac"`
		ClipLower float64 `json:"pg_clipfrac_lower"`
		PPOKL     float64 `json:"ppo_kl"`
		GradNorm  float64 `json:"grad_norm"`
	}
}

var models = []string{"qwen2_tied", "qwen2_untied", "llama3_scaled", "qwen3_qknorm"}

// lines writes one JSON object a line.
func lines[T any](t *testing.T, path string, all []T) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, v := range all {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, path, b.String())
}

// readLines reads them back.
func readLines[T any](t *testing.T, b []byte) (all []T) {
	t.Helper()
	for line := range bytes.Lines(b) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v in %.200s", err, line)
		}
		all = append(all, v)
	}
	return all
}

func TestLogprobsCommand(t *testing.T) {
	type scored struct {
		ID                int
		Logprobs, Entropy []float64
	}
	for _, name := range models {
		ref := readJSON[reference](t, fixtures+name+"/reference.json")
		for _, temperature := range []string{"1", "0.7"} {
			t.Run(name+" at "+temperature, func(t *testing.T) {
				dir := t.TempDir()
				var seqs []map[string]any
				var want []int // index into ref.Forward
				for i, f := range ref.Forward {
					if fmt.Sprint(f.Temperature) == temperature {
						seqs = append(seqs, map[string]any{"id": i, "token_ids": slices.Concat(f.PromptTokenIDs, f.TokenIDs)})
						want = append(want, i)
					}
				}
				if len(want) < 3 {
					t.Fatalf("%d sequences at temperature %s", len(want), temperature)
				}
				out := filepath.Join(dir, "out.jsonl")
				must(t, "logprobs", "--model", fixtures+name, "--in", lines(t, filepath.Join(dir, "in.jsonl"), seqs), "--out", out, "--temperature", temperature,
					"--set", "update.max_pack_tokens="+map[string]string{"1": "16384", "0.7": "2"}[temperature])
				got := readLines[scored](t, content(t, out))
				if len(got) != len(want) {
					t.Fatalf("%d lines, want %d", len(got), len(want))
				}
				for k, i := range want {
					f := ref.Forward[i]
					if got[k].ID != i || len(got[k].Logprobs) != len(f.PromptTokenIDs)+len(f.TokenIDs)-1 || len(got[k].Entropy) != len(got[k].Logprobs) {
						t.Fatalf("line %d: id %d, %d log-probs, %d entropies", k, got[k].ID, len(got[k].Logprobs), len(got[k].Entropy))
					}
					from := len(f.PromptTokenIDs) - 1
					near(t, "log-prob", got[k].Logprobs[from:], f.Logprobs, 2e-5)
					near(t, "entropy", got[k].Entropy[from:], f.Entropy, 2e-5)
				}
			})
		}
	}
}

// Three updates on one batch with fixed old log-probs: figures, and the step taken.
func TestUpdateCommand(t *testing.T) {
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			batch := readJSON[[]map[string]any](t, fixtures+name+"/batch.json")
			for _, r := range batch {
				r["logprobs"] = r["old"]
			}
			out := filepath.Join(dir, "trained")
			r := must(t, "update", "--model", fixtures+name, "--rollouts", lines(t, filepath.Join(dir, "rollouts.jsonl"), batch), "--out", out, "--json",
				"--set", "update.old_logprobs=server", "--set", "update.epochs=3", "--set", "update.mini_batch=64", "--set", "optimizer.lr=1e-3")
			got := readLines[updater.UpdateMetrics](t, []byte(r.stdout))
			want := readJSON[reference](t, fixtures+name+"/reference.json").Updates
			if len(got) != 3 || len(want) != 3 {
				t.Fatalf("%d updates, want 3", len(got))
			}
			for i, w := range want {
				near(t, "figures", []float64{got[i].PGLoss, got[i].PGClipFrac, got[i].PGClipFracLower, got[i].PPOKL, got[i].GradNorm, got[i].LR},
					[]float64{w.PGLoss, w.ClipFrac, w.ClipLower, w.PPOKL, w.GradNorm, 1e-3}, 5e-5)
			}
			stepTaken(t, fixtures+name, out, fixtures+name+"/reference.safetensors", "after3.")
		})
	}
}

// Mini-batches take groups in the order in which the file begins them, whatever
// their numbers.
func TestUpdateTakesGroupsInFileOrder(t *testing.T) {
	dir := t.TempDir()
	batch := readJSON[[]map[string]any](t, fixtures+"qwen2_tied/batch.json")
	update := func(name string, numbers []int) string {
		var renumbered []map[string]any
		for _, r := range batch {
			r = maps.Clone(r)
			r["group"] = numbers[int(r["group"].(float64))]
			renumbered = append(renumbered, r)
		}
		return must(t, "update", "--model", fixtures+"qwen2_tied", "--rollouts", lines(t, filepath.Join(dir, name+".jsonl"), renumbered),
			"--out", filepath.Join(dir, name), "--json", "--set", "update.mini_batch=1", "--set", "optimizer.lr=1e-3").stdout
	}
	rising := update("rising", []int{3, 5, 9})
	falling := update("falling", []int{9, 5, 3})
	if rising == "" || rising != falling {
		t.Errorf("the numbers of the groups changed the updates:\n%s%s", rising, falling)
	}
	if a, b := sha256Of(t, filepath.Join(dir, "rising")), sha256Of(t, filepath.Join(dir, "falling")); a != b {
		t.Error("the numbers of the groups changed the weights")
	}
}

// stepTaken compares the whole step from before to after with the reference's: within 1 % of its norm.
func stepTaken(t *testing.T, before, after, reference, prefix string) {
	t.Helper()
	set, err := safetensors.OpenFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	was, is := floats(t, before), floats(t, after)
	var off, step float64
	n := 0
	for _, name := range set.Names() {
		param, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		want, err := asFloats(set, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			off += math.Pow(float64(is[param][i])-float64(w), 2)
			step += math.Pow(float64(w)-float64(was[param][i]), 2)
		}
		n++
	}
	if ratio := math.Sqrt(off / step); n < 10 || !(ratio <= 0.01) {
		t.Errorf("over %d tensors the step differs from the reference's by %.3g of its norm, want at most 0.01", n, ratio)
	}
}

// near wants each number within tolerance, relative where it is over 1.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(1, math.Abs(want[i]))) {
			t.Errorf("%s %d is %.9g, want %.9g", what, i, got[i], want[i])
		}
	}
}

// The official reward's verdicts, all of them (../shared/kits, kit 2).
func TestGradeKit(t *testing.T) {
	in, out := shared(t, "kits/kit2_reward_public.jsonl"), filepath.Join(t.TempDir(), "graded.jsonl")
	r := must(t, "grade", "--in", in, "--out", out, "--verifier", "strict-box")
	type pair struct{ Score float64 }
	got, want := readLines[pair](t, content(t, out)), readLines[pair](t, content(t, in))
	agree := 0
	for i := range want {
		if got[i] == want[i] {
			agree++
		}
	}
	if agree != 500 || len(got) != 500 {
		t.Errorf("%d of %d verdicts agree, want 500 of 500", agree, len(got))
	}
	if !strings.Contains(r.stdout, "of 500 correct") {
		t.Errorf("stdout %q", r.stdout)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
