//go:build torch && linux

package torch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
)

// bytesPerToken is what one more token of a pack takes at the peak of a float32
// training pass, as docs/measurements.md derives it.
func bytesPerToken(s model.Spec, recompute bool) int {
	e, f, q, kv := s.Hidden, s.Intermediate, s.Heads*s.HeadDim, 2*s.KVHeads*s.HeadDim
	layer := e + 2*q + kv + 2*f // kept of a layer's forward pass, beside its input
	if s.QKNorm {
		layer += q + kv/2
	}
	// Beside what is kept: the gradient of the layer's output, the rotary table,
	// and the gradient of the MLP's activation with that activation made again.
	elements := e + s.HeadDim + 2*f
	if recompute {
		elements += s.Layers*e + layer
	} else {
		elements += s.Layers * (e + layer)
	}
	return 4 * elements
}

const measured = "JUSTRL_TEST_PACK" // recompute and tokens, of a child process that prints its peak

var packSpec = model.Spec{
	Architecture: model.Qwen2, Layers: 4, Hidden: 128, Intermediate: 512, Heads: 4, KVHeads: 2, HeadDim: 32,
	Vocab:        512, // small: the head's chunk of logits is not what is measured
	MaxPositions: 512, RMSEps: 1e-6, Rope: model.Rope{Theta: 1e4}, TiedHead: true, QKVBias: true,
}

// A pack's memory grows with its tokens by what the formula says; the figures
// are printed, and are far from it only if tensors more or less are kept. Each
// is of a process of its own, whose heap holds nothing of another pack.
func TestMemoryOfAPack(t *testing.T) {
	onCPU(t) // it asks the process, not the card
	if how := os.Getenv(measured); how != "" {
		logPeak(t, how)
		return
	}
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	for _, recompute := range []bool{false, true} {
		peak := func(tokens int) (bytes int) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestMemoryOfAPack$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%t %d", measured, recompute, tokens))
			out, err := cmd.CombinedOutput()
			_, after, found := strings.Cut(string(out), "grew by ")
			if _, e := fmt.Sscan(after, &bytes); err != nil || !found || e != nil {
				t.Fatalf("%v, %v\n%s", err, e, out)
			}
			return bytes
		}
		small, large := peak(4096), peak(12288)
		got, want := float64(large-small)/8192, float64(bytesPerToken(packSpec, recompute))
		t.Logf("recompute %t: %.1f kB a token, by the formula %.1f; %.0f MB beside them", recompute, got/1000, want/1000, (float64(small)-4096*got)/1e6)
		if !(got > want/2 && got < 2*want) {
			t.Errorf("recompute %t: %.0f bytes a token, by the formula %.0f", recompute, got, want)
		}
	}
}

// logPeak logs by how much the process grows in a step on one pack, once
// everything that is allocated once is there.
func logPeak(t *testing.T, how string) {
	var recompute bool
	var tokens int
	if _, err := fmt.Sscan(how, &recompute, &tokens); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Init(dir, packSpec, 1); err != nil {
		t.Fatal(err)
	}
	trainer := openTrainer(t, dir, func(o *Options) {
		o.Threads, o.Update.MaxPackTokens, o.Update.Recompute = 2, 1<<20, recompute
	})
	step := func(tokens int) {
		const length = 256
		g := updater.Group{}
		for i := range tokens / length {
			r := updater.Rollout{PromptTokenIDs: []int32{1}, Reward: float64(i % 2)}
			for k := range length - 1 {
				r.TokenIDs = append(r.TokenIDs, int32((k*7+i)%packSpec.Vocab))
			}
			g.Rollouts = append(g.Rollouts, r)
		}
		result, err := trainer.Step(context.Background(), 1, []updater.Group{g}, nil)
		if err != nil || result.Updates[0].Packs != 1 {
			t.Fatalf("%+v (%v)", result, err)
		}
	}
	step(512)
	before := statusKB(t, "VmRSS")
	step(tokens)
	t.Logf("grew by %d bytes", 1024*(statusKB(t, "VmHWM")-before))
}
