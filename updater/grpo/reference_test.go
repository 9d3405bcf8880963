package grpo

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/updater"
)

// reference is what testdata/reference.py computed with torch in float64.
type reference struct {
	Tokens []struct {
		D         float64 `json:"d"`
		Advantage float64 `json:"advantage"`
		ClipLow   any     `json:"clip_low"` // a number, or "ratio": exactly on the token's ratio
		ClipHigh  any     `json:"clip_high"`
		ClipC     any     `json:"clip_c"`
		Loss      float64 `json:"loss"`
		Grad      float64 `json:"grad"`
		Clipped   bool    `json:"clipped"`
		Lower     bool    `json:"lower"`
	} `json:"tokens"`
	Batch struct {
		Lengths    []int       `json:"lengths"`
		Packs      [][]int     `json:"packs"`
		Width      int         `json:"width"`
		Advantages []float64   `json:"advantages"`
		Logp       [][]float64 `json:"logp"`
		Old        [][]float64 `json:"old"`
		Server     [][]float64 `json:"server"`
		Reference  [][]float64 `json:"reference"`
		Entropy    [][]float64 `json:"entropy"`
		ClipLow    float64     `json:"clip_low"`
		ClipHigh   float64     `json:"clip_high"`
		ClipC      float64     `json:"clip_c"`
		Results    []struct {
			Aggregation string      `json:"aggregation"`
			Loss        float64     `json:"loss"`
			Grad        [][]float64 `json:"grad"`
			ClipFrac    float64     `json:"clipfrac"`
			ClipLower   float64     `json:"clipfrac_lower"`
			PPOKL       float64     `json:"ppo_kl"`
		} `json:"results"`
		Options []optionResult `json:"options"`
	} `json:"batch"`
	Advantages []struct {
		Rewards []float64 `json:"rewards"`
		Std     []float64 `json:"std"`
		Plain   []float64 `json:"plain"`
	} `json:"advantages"`
}

// optionResult is what one set of options makes of the batch.
type optionResult struct {
	Aggregation string      `json:"aggregation"`
	Ratio       string      `json:"ratio"`
	TISCap      float64     `json:"tis_cap"`
	EntropyCoef float64     `json:"entropy_coef"`
	KLCoef      float64     `json:"kl_coef"`
	KLEstimator string      `json:"kl_estimator"`
	ClipC       float64     `json:"clip_c"`
	PGLoss      float64     `json:"pg_loss"`
	ClipFrac    float64     `json:"clipfrac"`
	ClipLower   float64     `json:"clipfrac_lower"`
	PPOKL3      float64     `json:"ppo_kl_k3"`
	KLLoss      float64     `json:"kl_loss"`
	EntropyLoss float64     `json:"entropy_loss"`
	TISMean     float64     `json:"tis_mean"`
	TISCapped   float64     `json:"tis_capped"`
	Grad        [][]float64 `json:"grad"`
	EntropyGrad [][]float64 `json:"entropy_grad"`
}

func readReference(t *testing.T) reference {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// within compares to a relative 1e-14: the last bits of exp and of sums are not torch's.
func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-14*max(math.Abs(want), 1e-3)) {
		t.Errorf("%s is %.17g, want %.17g", what, got, want)
	}
}

// Every region of the loss, and every kink exactly on it, against autograd.
func TestTokensAreTorchs(t *testing.T) {
	ref := readReference(t).Tokens
	if len(ref) < 200 {
		t.Errorf("%d tokens in the reference", len(ref))
	}
	number := func(setting any, onRatio float64) float64 {
		if setting == "ratio" {
			return onRatio
		}
		return setting.(float64)
	}
	for _, c := range ref {
		ratio := math.Exp(c.D)
		// 1 − (1 − ratio) and 1 + (ratio − 1) are exact for ratios from 1/2 to 2.
		cfg := updater.Config{Aggregation: updater.TokenMean,
			ClipLow: number(c.ClipLow, 1-ratio), ClipHigh: number(c.ClipHigh, ratio-1), ClipC: number(c.ClipC, ratio)}
		k := NewObjective(cfg, []int{1}).token(c.D, c.Advantage)
		if math.Abs(k.loss-c.Loss) > 1e-14*math.Abs(c.Loss) || math.Abs(k.grad-c.Grad) > 1e-14*math.Abs(c.Grad) || k.clipped != c.Clipped || k.lower != c.Lower {
			t.Errorf("%+v: got %+v", c, k)
		}
	}
}

func TestBatchIsTorchs(t *testing.T) {
	ref := readReference(t)
	b := ref.Batch
	if len(b.Results) != 5 {
		t.Fatalf("%d aggregations in the reference, want 5", len(b.Results))
	}
	for _, want := range b.Results {
		t.Run(want.Aggregation, func(t *testing.T) {
			o := NewObjective(updater.Config{Aggregation: want.Aggregation, ClipLow: b.ClipLow, ClipHigh: b.ClipHigh, ClipC: b.ClipC, NormTokens: b.Width}, b.Lengths)
			for _, p := range b.Packs {
				o.MicroBatch(p)
				for _, i := range p {
					for j, g := range add(o, i, b.Logp[i], b.Old[i], b.Advantages[i]) {
						within(t, "gradient", g, want.Grad[i][j])
					}
				}
			}
			if err := o.Err(); err != nil {
				t.Error(err)
			}
			m := o.Metrics()
			within(t, "loss", m.PGLoss, want.Loss)
			within(t, "pg_clipfrac", m.PGClipFrac, want.ClipFrac)
			within(t, "pg_clipfrac_lower", m.PGClipFracLower, want.ClipLower)
			within(t, "ppo_kl", m.PPOKL, want.PPOKL)
			if m.Tokens != 22 || m.Packs != 3 {
				t.Errorf("%d tokens in %d packs, want 22 in 3", m.Tokens, m.Packs)
			}
		})
	}
}

// Every option under every aggregation, alone and together: the loss, its
// terms and the gradients of log-probs and entropies, against autograd.
func TestOptionsAreTorchs(t *testing.T) {
	b := readReference(t).Batch
	if len(b.Options) != 40 {
		t.Fatalf("%d sets of options in the reference, want 40", len(b.Options))
	}
	for _, want := range b.Options {
		cfg := updater.Config{Aggregation: want.Aggregation, ClipLow: b.ClipLow, ClipHigh: b.ClipHigh, ClipC: want.ClipC, NormTokens: b.Width,
			Ratio: want.Ratio, TISCap: want.TISCap, EntropyCoef: want.EntropyCoef, KLCoef: want.KLCoef, KLEstimator: want.KLEstimator}
		t.Run(fmt.Sprintf("%s, %s ratio, c %g, tis %g, entropy %g, kl %g %s", want.Aggregation, want.Ratio, want.ClipC, want.TISCap, want.EntropyCoef, want.KLCoef, want.KLEstimator), func(t *testing.T) {
			o := NewObjective(cfg, b.Lengths)
			for _, p := range b.Packs {
				o.MicroBatch(p)
				for _, i := range p {
					dlogp, dentropy := o.Add(i, Response{Logp: b.Logp[i], Old: b.Old[i], Advantage: b.Advantages[i],
						Server: b.Server[i], Reference: b.Reference[i], Entropy: b.Entropy[i]})
					for j, g := range dlogp {
						within(t, fmt.Sprintf("gradient of response %d, token %d", i, j), g, want.Grad[i][j])
						if want.EntropyCoef > 0 {
							within(t, "gradient by the entropy", dentropy, want.EntropyGrad[i][j])
						}
					}
					if want.EntropyCoef == 0 && dentropy != 0 {
						t.Errorf("gradient %g by the entropy, which is not in the loss", dentropy)
					}
				}
			}
			if err := o.Err(); err != nil {
				t.Error(err)
			}
			m := o.Metrics()
			within(t, "pg_loss", m.PGLoss, want.PGLoss)
			within(t, "pg_clipfrac", m.PGClipFrac, want.ClipFrac)
			within(t, "pg_clipfrac_lower", m.PGClipFracLower, want.ClipLower)
			within(t, "ppo_kl_k3", m.PPOKL3, want.PPOKL3)
			within(t, "kl_loss", m.KLLoss, want.KLLoss)
			within(t, "entropy_loss", m.EntropyLoss, want.EntropyLoss)
			within(t, "tis_mean", m.TISMean, want.TISMean)
			within(t, "tis_capped", m.TISCapped, want.TISCapped)
			if m.KLCoef != want.KLCoef {
				t.Errorf("kl_coef is %g, want %g", m.KLCoef, want.KLCoef)
			}
		})
	}
}

func TestAdvantagesAreTorchs(t *testing.T) {
	for _, c := range readReference(t).Advantages {
		std, plain := Advantages(c.Rewards, true), Advantages(c.Rewards, false)
		for i := range c.Rewards {
			within(t, "advantage", std[i], c.Std[i])
			within(t, "advantage without std", plain[i], c.Plain[i])
		}
	}
}
