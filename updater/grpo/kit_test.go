package grpo

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// kit is the reference kit's folder, beside the repository on the machines
// that have it: losses that verl computed in torch.
func kit(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "kits", "kit3")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the reference kit is not on this machine: %v", err)
	}
	return dir
}

type kitLoss struct {
	PGLoss    float64 `json:"pg_loss"`
	ClipFrac  float64 `json:"pg_clipfrac"`
	ClipLower float64 `json:"pg_clipfrac_lower"`
	PPOKL     float64 `json:"ppo_kl"`
	ClipLow   float64 `json:"clip_low"`
	ClipHigh  float64 `json:"clip_high"`
	ClipC     float64 `json:"clip_c"`
}

type kitBatch struct {
	ref struct {
		Batch struct {
			Width   int   `json:"response_width"`
			Lengths []int `json:"response_lengths"`
		} `json:"batch"`
		Loss  map[string]map[string]kitLoss `json:"loss"`
		Other []kitLoss                     `json:"loss_other_settings"`
		Micro []struct {
			Partitions [][]int `json:"partitions"`
			Weighted   float64 `json:"weighted_loss"`
		} `json:"micro"`
	}
	logp, old [][]float64
	advantage []float64
}

func readKit(t *testing.T, model string) kitBatch {
	t.Helper()
	var b kitBatch
	dir := filepath.Join(kit(t), model)
	raw, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &b.ref); err != nil {
		t.Fatal(err)
	}
	set, err := safetensors.OpenFile(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	rows := func(name string) [][]float64 {
		info, _ := set.Info(name)
		raw, err := set.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		out := make([][]float64, info.Shape[0])
		for i := range out {
			for j := range b.ref.Batch.Lengths[i] {
				k := i*b.ref.Batch.Width + j
				if info.DType == "F64" {
					out[i] = append(out[i], math.Float64frombits(binary.LittleEndian.Uint64(raw[8*k:])))
				} else {
					out[i] = append(out[i], float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:]))))
				}
			}
		}
		return out
	}
	b.logp, b.old = rows("upd.log_probs_f64"), rows("upd.old_log_probs")
	for _, a := range rows("upd.advantages") {
		b.advantage = append(b.advantage, a[0])
	}
	return b
}

func (b kitBatch) run(cfg updater.Config, partitions [][]int) updater.UpdateMetrics {
	o := NewObjective(cfg, b.ref.Batch.Lengths)
	for _, p := range partitions {
		o.MicroBatch(p)
		for _, i := range p {
			add(o, i, b.logp[i], b.old[i], b.advantage[i])
		}
	}
	return o.Metrics()
}

func (w kitLoss) check(t *testing.T, got updater.UpdateMetrics) {
	t.Helper()
	near(t, "pg_loss", got.PGLoss, w.PGLoss, 1e-9)
	near(t, "pg_clipfrac", got.PGClipFrac, w.ClipFrac, 1e-9)
	near(t, "pg_clipfrac_lower", got.PGClipFracLower, w.ClipLower, 1e-9)
	near(t, "ppo_kl", got.PPOKL, w.PPOKL, 1e-9)
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %.17g, want %.17g (off by %.2g)", what, got, want, math.Abs(got-want)/math.Abs(want))
	}
}

func TestKitLosses(t *testing.T) {
	for _, model := range []string{"a_qwen2_tied", "c_llama_rope3"} {
		t.Run(model, func(t *testing.T) {
			b := readKit(t, model)
			whole := [][]int{make([]int, len(b.logp))}
			for i := range whole[0] {
				whole[0][i] = i
			}
			cfg := updater.DefaultConfig()
			cfg.NormTokens = b.ref.Batch.Width // verl divides by the padded width
			for aggregation, want := range b.ref.Loss {
				t.Run(aggregation, func(t *testing.T) {
					cfg := cfg
					cfg.Aggregation = aggregation
					want["f64"].check(t, b.run(cfg, whole))
				})
			}
			for _, want := range b.ref.Other {
				cfg := cfg
				cfg.ClipLow, cfg.ClipHigh, cfg.ClipC = want.ClipLow, want.ClipHigh, want.ClipC
				want.check(t, b.run(cfg, whole))
			}
			for _, micro := range b.ref.Micro {
				cfg := cfg
				cfg.Aggregation = updater.TokenMeanVerl
				near(t, "token-mean-verl", b.run(cfg, micro.Partitions).PGLoss, micro.Weighted, 1e-9)
			}
		})
	}
}

func TestKitAdvantages(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(kit(t), "advantages.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Rewards []float64 `json:"rewards"`
		Std     []float64 `json:"advantages"`
		NoStd   []float64 `json:"advantages_nostd"`
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for i, got := range Advantages(c.Rewards, true) { // the kit's are float32
			near(t, "advantage", got, c.Std[i], 3e-7)
		}
		for i, got := range Advantages(c.Rewards, false) {
			near(t, "advantage without std", got, c.NoStd[i], 3e-7)
		}
	}
}
