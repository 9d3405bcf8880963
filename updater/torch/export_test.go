//go:build torch

package torch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

func TestExportOfUnchangedModelIsByteIdentical(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			src, dst := copyModel(t, filepath.Join("testdata", name)), t.TempDir()
			for file, text := range map[string]string{"tokenizer.json": "{}", "chat_template.jinja": "x", "COMPLETE": "{}", "state.json": "{}", "pytorch_model.bin": "x"} {
				if err := os.WriteFile(filepath.Join(src, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			trainer := openTrainer(t, src)
			if err := trainer.Export(context.Background(), dst); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"COMPLETE", "state.json", "pytorch_model.bin"} {
				if err := os.Remove(filepath.Join(src, file)); err != nil {
					t.Fatal(err)
				}
			}
			sameFolder(t, src, dst)
		})
	}
}

func TestWeightsSHA256IsThatOfTheExport(t *testing.T) {
	ctx := context.Background()
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			trainer := openTrainer(t, filepath.Join("testdata", name), serverOld, func(o *Options) { o.Optimizer.LR = 1e-2 })
			start := hash(t, filepath.Join("testdata", name))
			if got, err := trainer.WeightsSHA256(ctx); err != nil || got != start {
				t.Errorf("before training %s, want %s (%v)", got, start, err)
			}
			if _, err := trainer.Step(ctx, 0, fixtureBatch(t, name), nil); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			files, weights, err := trainer.ExportHashed(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			moved := hash(t, dir)
			if weights != moved || len(files) == 0 {
				t.Errorf("hashed %s and %d files while it was written, read back %s", weights, len(files), moved)
			}
			for name, sum := range files {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if have := sha256.Sum256(b); err != nil || hex.EncodeToString(have[:]) != sum {
					t.Errorf("%s is %x (%v), hashed as %s", name, have, err, sum)
				}
			}
			if got, err := trainer.WeightsSHA256(ctx); err != nil || got != moved || got == start {
				t.Errorf("after training %s, exported %s, at the start %s (%v)", got, moved, start, err)
			}
		})
	}
}

func TestExportInAnotherDType(t *testing.T) {
	onCPU(t)
	src, dst, again := filepath.Join("testdata", "llama3_scaled"), t.TempDir(), t.TempDir()
	ctx := context.Background()
	half := openTrainer(t, src, func(o *Options) { o.DType = "bfloat16" })
	if err := half.Export(ctx, dst); err != nil {
		t.Fatal(err)
	}
	spec, err := model.Load(dst)
	if err != nil || spec.DType != "bfloat16" {
		t.Errorf("the exported config says %q (%v)", spec.DType, err)
	}
	set, err := safetensors.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for _, name := range set.Names() {
		if info, _ := set.Info(name); info.DType != "BF16" {
			t.Errorf("%s is %s", name, info.DType)
		}
	}
	// What was written in bfloat16, computed in float32 and not trained, is written the same again.
	full := openTrainer(t, dst)
	if full.net.kind != kindFloat32 {
		t.Errorf("a bfloat16 model on a CPU computes in %s", full.net.kind)
	}
	if err := full.Export(ctx, again); err != nil {
		t.Fatal(err)
	}
	sameFolder(t, dst, again)
}

func TestExportGivesATiedHeadTheEmbedding(t *testing.T) {
	src, dst := copyModel(t, filepath.Join("testdata", "qwen2_tied")), t.TempDir()
	addHead(t, src, false)
	if err := openTrainer(t, src).Export(context.Background(), dst); err != nil {
		t.Fatal(err)
	}
	out := openTensors(t, filepath.Join(dst, safetensors.SingleName))
	head, err := out.Bytes(model.HeadName)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := out.Bytes(model.EmbedName); err != nil || !bytes.Equal(head, want) {
		t.Errorf("the tied head is not the embedding (%v)", err)
	}
}

func TestSetDType(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"new key", `{"a":1, "dtype" :  "float32" ,"b":{"dtype":"x"}}`, `{"a":1, "dtype" :  "bfloat16" ,"b":{"dtype":"x"}}`},
		{"old key", "{\n \"torch_dtype\": \"float16\"\n}\n", "{\n \"torch_dtype\": \"bfloat16\"\n}\n"},
		{"both", `{"dtype":"a","torch_dtype":null}`, `{"dtype":"bfloat16","torch_dtype":"bfloat16"}`},
		{"neither", `{"a":[1,2]}`, `{"a":[1,2]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := setDType([]byte(c.in), "bfloat16")
			if err != nil || string(got) != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
			if !json.Valid(got) {
				t.Error("not JSON any more")
			}
		})
	}
}

func TestInitWritesAModelThatOpens(t *testing.T) {
	for _, name := range fixtures {
		for _, dtype := range []string{"", "bfloat16"} {
			t.Run(name+"/"+dtype, func(t *testing.T) {
				spec, err := model.Load(filepath.Join("testdata", name))
				if err != nil {
					t.Fatal(err)
				}
				spec.DType = dtype
				a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
				for dir, seed := range map[string]int64{a: 7, b: 7, c: 8} {
					if err := Init(dir, spec, seed); err != nil {
						t.Fatal(err)
					}
				}
				if hash(t, a) != hash(t, b) || hash(t, a) == hash(t, c) {
					t.Error("the weights are not a function of the seed")
				}
				trainer := openTrainer(t, a)
				if dtype == "" {
					spec.DType = "float32"
				}
				if got := trainer.Spec(); !equalJSON(t, got, spec) {
					t.Errorf("read back as %+v, want %+v", got, spec)
				}
				got, err := trainer.Score(context.Background(), [][]int32{{1, 2, 3, 4}}, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range got[0].Entropy { // a fresh model knows nothing: nearly ln 96
					if h < 4.5 || h > 4.565 {
						t.Errorf("entropy %g of a fresh model over 96 tokens", h)
					}
				}
			})
		}
	}
}

func hash(t *testing.T, dir string) string {
	t.Helper()
	set, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	sum, err := set.SHA256()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// copyModel copies a fixture's model without the reference beside it.
func copyModel(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "config.json" && !strings.HasPrefix(e.Name(), "model") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, e.Name()), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// sameFolder holds two folders file by file.
func sameFolder(t *testing.T, a, b string) {
	t.Helper()
	read := func(dir string) map[string]string {
		files := make(map[string]string)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(text)
		}
		return files
	}
	x, y := read(a), read(b)
	for name, text := range x {
		if other, ok := y[name]; !ok {
			t.Errorf("%s was not written", name)
		} else if other != text {
			t.Errorf("%s differs", name)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			t.Errorf("%s should not have been written", name)
		}
	}
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}
