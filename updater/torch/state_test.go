//go:build torch

package torch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

func fixtureBatch(t *testing.T, name string) []updater.Group {
	t.Helper()
	var batch []recorded
	readJSON(t, filepath.Join("testdata", name, "batch.json"), &batch)
	return groupsOf(batch)
}

// Two updates, save, load into a fresh trainer, two more: to the last bit what
// four updates give.
func TestLoadStateContinuesBitIdentically(t *testing.T) {
	onCPU(t)
	ctx := context.Background()
	for _, dtype := range []string{"float32", "bfloat16"} {
		for _, name := range fixtures {
			t.Run(name+"/"+dtype, func(t *testing.T) {
				dir, groups := filepath.Join("testdata", name), fixtureBatch(t, name)
				edit := func(o *Options) { o.DType, o.Optimizer.LR, o.Update.MiniBatch = dtype, 1e-3, 2 }
				through, first, second := openTrainer(t, dir, edit), openTrainer(t, dir, edit), openTrainer(t, dir, edit)
				step := func(trainer *Trainer, n int) updater.StepResult {
					result, err := trainer.Step(ctx, n, groups, nil)
					if err != nil {
						t.Fatal(err)
					}
					return result
				}
				step(through, 0)
				step(first, 0)
				state := t.TempDir()
				if err := first.SaveState(ctx, state); err != nil {
					t.Fatal(err)
				}
				if err := second.LoadState(ctx, state); err != nil {
					t.Fatal(err)
				}
				if a, b := step(through, 1), step(second, 1); !equalJSON(t, a, b) {
					t.Errorf("figures differ: %+v and %+v", a, b)
				}
				a, b := through.weights(t), second.weights(t)
				for name := range a {
					if d := farthest(t, b[name], a[name]); d != 0 {
						t.Errorf("%s differs by %g", name, d)
					}
				}
				if through.updates != 4 || second.updates != 4 {
					t.Errorf("%d and %d updates, want 4", through.updates, second.updates)
				}
			})
		}
	}
}

func TestStateBeforeTheFirstUpdate(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join("testdata", "qwen3_qknorm")
	fresh, moved, state := openTrainer(t, dir), openTrainer(t, dir), t.TempDir()
	if err := fresh.SaveState(ctx, state); err != nil {
		t.Fatal(err)
	}
	if _, err := moved.Step(ctx, 0, fixtureBatch(t, "qwen3_qknorm"), nil); err != nil {
		t.Fatal(err)
	}
	if err := moved.LoadState(ctx, state); err != nil {
		t.Fatal(err)
	}
	if a, b := hash(t, dir), sum(t, moved); a != b {
		t.Errorf("weights %s after loading the first state, want %s", b, a)
	}
	if moved.updates != 0 || moved.net.params[0].m.ok() {
		t.Errorf("%d updates, moments %v: not as before the first update", moved.updates, moved.net.params[0].m.ok())
	}
}

func TestLoadStateRefuses(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join("testdata", "qwen2_tied")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(dir string)
		want   string
	}{
		{"no state.json", func(d string) { os.Remove(filepath.Join(d, stateFile)) }, "state.json"},
		{"garbage", func(d string) { write(filepath.Join(d, stateFile), "{{") }, "state.json"},
		{"unknown field", func(d string) { write(filepath.Join(d, stateFile), `{"format":1,"updates":1,"x":1}`) }, "x"},
		{"newer format", func(d string) { write(filepath.Join(d, stateFile), `{"format":2,"updates":1}`) }, "format 2"},
		{"moments that should not be", func(d string) { write(filepath.Join(d, stateFile), `{"format":1,"updates":0}`) }, "exp_avg"},
		{"no tensors", func(d string) { os.Remove(filepath.Join(d, optimizerFile)) }, "optimizer.safetensors"},
		{"cut short", func(d string) {
			if err := os.Truncate(filepath.Join(d, optimizerFile), 5000); err != nil {
				t.Fatal(err)
			}
		}, "optimizer.safetensors"},
		{"another model's", func(d string) {
			other := openTrainer(t, filepath.Join("testdata", "qwen2_untied"))
			if err := other.SaveState(ctx, d); err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(d, stateFile), `{"format":1,"updates":0}`)
		}, "q_proj"},
		{"a missing tensor", func(d string) {
			set, err := safetensors.OpenFile(filepath.Join(d, optimizerFile))
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			l := set.Layout()
			l.Files[0].Tensors = l.Files[0].Tensors[1:]
			if err := safetensors.Write(d, l, set.Bytes); err != nil {
				t.Fatal(err)
			}
		}, "no tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trainer := openTrainer(t, dir, func(o *Options) { o.Optimizer.LR = 1e-3 })
			if _, err := trainer.Step(ctx, 0, fixtureBatch(t, "qwen2_tied"), nil); err != nil {
				t.Fatal(err)
			}
			state, before := t.TempDir(), sum(t, trainer)
			if err := trainer.SaveState(ctx, state); err != nil {
				t.Fatal(err)
			}
			c.damage(state)
			err := trainer.LoadState(ctx, state)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if after := sum(t, trainer); after != before {
				t.Error("the weights changed")
			}
		})
	}
}

func sum(t *testing.T, trainer *Trainer) string {
	t.Helper()
	s, err := trainer.WeightsSHA256(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
