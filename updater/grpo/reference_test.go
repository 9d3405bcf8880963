package grpo

import (
	"encoding/json"
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
	} `json:"batch"`
	Advantages []struct {
		Rewards []float64 `json:"rewards"`
		Std     []float64 `json:"std"`
		Plain   []float64 `json:"plain"`
	} `json:"advantages"`
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
		k := NewObjective(cfg, []int{1}).token(c.D, 0, c.Advantage)
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
					for j, g := range o.Add(i, b.Logp[i], b.Old[i], b.Advantages[i]) {
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

func TestAdvantagesAreTorchs(t *testing.T) {
	for _, c := range readReference(t).Advantages {
		std, plain := Advantages(c.Rewards, true), Advantages(c.Rewards, false)
		for i := range c.Rewards {
			within(t, "advantage", std[i], c.Std[i])
			within(t, "advantage without std", plain[i], c.Plain[i])
		}
	}
}
