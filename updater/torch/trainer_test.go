//go:build torch

package torch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

func TestOpenRefuses(t *testing.T) {
	weights := func(dir string) string { return filepath.Join(dir, "model.safetensors") }
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string, o *Options)
		want   string
	}{
		{"no weights", func(t *testing.T, dir string, _ *Options) { os.Remove(weights(dir)) }, "model.safetensors"},
		{"weights cut short", func(t *testing.T, dir string, _ *Options) {
			if err := os.Truncate(weights(dir), 20000); err != nil {
				t.Fatal(err)
			}
		}, "model.safetensors"},
		{"garbage", func(t *testing.T, dir string, _ *Options) {
			if err := os.WriteFile(weights(dir), []byte("this is no safetensors file"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "model.safetensors"},
		{"other shapes", func(t *testing.T, dir string, _ *Options) {
			path := filepath.Join(dir, "config.json")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(b), `"intermediate_size": 48`, `"intermediate_size": 64`, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "gate_proj"},
		{"a tied head that is not the embedding", func(t *testing.T, dir string, _ *Options) { addHead(t, dir, true) }, "tie_word_embeddings"},
		{"unknown dtype", func(_ *testing.T, _ string, o *Options) { o.DType = "int8" }, "int8"},
		{"float16", func(_ *testing.T, _ string, o *Options) { o.DType = "float16" }, "float16"},
		{"unknown device", func(_ *testing.T, _ string, o *Options) { o.Device = "tpu" }, "tpu"},
		{"bad settings", func(_ *testing.T, _ string, o *Options) { o.Update.ClipLow = -2 }, "clip_low"},
		{"a folder that is not there", func(_ *testing.T, _ string, o *Options) { o.Dir = "/nowhere" }, "/nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Dir: copyModel(t, filepath.Join("testdata", "qwen2_tied")), Update: updater.DefaultConfig(), Threads: 1}
			c.damage(t, o.Dir, &o)
			trainer, err := Open(context.Background(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if trainer != nil {
				t.Error("a trainer beside the error")
			}
		})
	}
}

func TestClosedTrainer(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"))
	for range 2 {
		if err := trainer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := trainer.Score(context.Background(), [][]int32{{1, 2}}, 1); !errors.Is(err, errClosed) {
		t.Errorf("error %v, want %v", err, errClosed)
	}
}

func TestScoreRefuses(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"))
	for _, c := range []struct {
		name        string
		seqs        [][]int32
		temperature float64
		want        string
	}{
		{"one token", [][]int32{{1, 2}, {3}}, 1, "sequence 1"},
		{"an id above the vocabulary", [][]int32{{1, 2}, {3, 96}}, 1, "sequence 1: token id 96 at position 1 is outside the vocabulary of 96"},
		{"temperature 0", [][]int32{{1, 2}}, 0, "temperature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := trainer.Score(context.Background(), c.seqs, c.temperature); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A failing operation names itself and its shapes, and sticks.
func TestScopeErrors(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"))
	err := trainer.worker.do(func() error {
		s := newScope(trainer.counter)
		defer s.close()
		x, y := s.floats(make([]float32, 6), -1), s.floats(make([]float32, 4), -1)
		x = s.view(x, 2, 3)
		z := s.linear(x, y, tensor{}, tensor{})
		if z.ok() || s.swiglu(z).ok() {
			t.Error("an operation ran after the failure")
		}
		return s.err
	})
	if err == nil || !strings.HasPrefix(err.Error(), "torch: linear([2 3], [4], none, none): ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
	if n := lastErrorOf(trainer); n != "" {
		t.Errorf("an error was left behind: %s", n)
	}
}

func lastErrorOf(t *Trainer) (msg string) {
	_ = t.worker.do(func() error { msg = lastError(); return nil })
	return msg
}

// addHead gives a tied model a head in its file: the embedding's values, or zeros.
func addHead(t *testing.T, dir string, zeros bool) {
	t.Helper()
	set := openTensors(t, filepath.Join(dir, safetensors.SingleName))
	layout := set.Layout()
	embed, _ := set.Info(model.EmbedName)
	embed.Name = model.HeadName
	layout.Files[0].Tensors = append(layout.Files[0].Tensors, embed)
	err := safetensors.Write(dir, layout, func(name string) ([]byte, error) {
		if name != model.HeadName {
			return set.Bytes(name)
		}
		b, err := set.Bytes(model.EmbedName)
		if zeros {
			b = make([]byte, len(b))
		}
		return b, err
	})
	if err != nil {
		t.Fatal(err)
	}
}
