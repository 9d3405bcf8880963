package model

import (
	"slices"
	"testing"

	"github.com/justrl/justrl/updater/safetensors"
)

// weights writes and opens a folder of the given tensors, all zero.
func weights(t *testing.T, tensors []safetensors.Info) *safetensors.Set {
	t.Helper()
	dir := t.TempDir()
	l := safetensors.Layout{Files: []safetensors.FileLayout{{Name: safetensors.SingleName, Tensors: tensors}}}
	sizes := map[string]int64{}
	for _, i := range tensors {
		n, err := i.Size()
		if err != nil {
			t.Fatal(err)
		}
		sizes[i.Name] = n
	}
	if err := safetensors.Write(dir, l, func(name string) ([]byte, error) { return make([]byte, sizes[name]), nil }); err != nil {
		t.Fatal(err)
	}
	s, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCheck(t *testing.T) {
	tied, err := parseWith(t, Qwen2, object{"tie_word_embeddings": true})
	if err != nil {
		t.Fatal(err)
	}
	untied, err := parseWith(t, Qwen2, nil)
	if err != nil {
		t.Fatal(err)
	}
	infos := func(s Spec) (out []safetensors.Info) {
		for _, x := range s.Tensors() {
			out = append(out, safetensors.Info{Name: x.Name, DType: "BF16", Shape: x.Shape})
		}
		return out
	}
	head := safetensors.Info{Name: HeadName, DType: "BF16", Shape: []int64{64, 32}}
	for name, c := range map[string]struct {
		spec    Spec
		tensors []safetensors.Info
		want    []string // nil: no error
	}{
		"tied":                  {tied, infos(tied), nil},
		"untied":                {untied, infos(untied), nil},
		"tied with a head":      {tied, append(infos(tied), head), nil},
		"tied with a bad head":  {tied, append(infos(tied), safetensors.Info{Name: HeadName, DType: "BF16", Shape: []int64{65, 32}}), []string{"wrong shapes: lm_head.weight is [65 32], config.json asks for [64 32]"}},
		"untied without a head": {untied, infos(tied), []string{"missing tensors: lm_head.weight"}},
		"everything at once": {tied, func() []safetensors.Info {
			l := slices.Clone(infos(tied))
			l[0].Shape = []int64{32, 64}
			l[1].DType = "I8"
			l[2].Name = "model.layers.9.self_attn.q_proj.bias"
			return l
		}(), []string{
			Qwen2, "missing tensors: model.layers.0.self_attn.q_proj.bias", "unknown tensors: model.layers.9.self_attn.q_proj.bias",
			"model.embed_tokens.weight is [32 64], config.json asks for [64 32]", "cannot be trained: model.layers.0.self_attn.q_proj.weight is I8"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.spec.Check(weights(t, c.tensors))
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, c.want...)
		})
	}
}
