// Package bridgetest is for tests of the bridge: a model small enough to be
// computed by hand, a fake vLLM that serves it and misbehaves on demand, and
// the conformance suite that every bridge.Publisher must pass.
package bridgetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/bridge"
)

// Model is a language model whose log-probs are a smooth function of its
// weights: token t after a prefix has -4 + Σ_k Theta[k]·sin(h_k), h_k a hash
// of prefix, token and k. (They need not sum to one; nobody looks.)
type Model struct {
	Theta [8]float64
	// Tensors is what its folder claims to hold; nil is [Tensors].
	Tensors []bridge.Tensor `json:",omitempty"`
}

// Tensors is what every intact Model's folder holds.
func Tensors() []bridge.Tensor {
	return []bridge.Tensor{
		{Name: "embed", DType: "F32", Shape: []int64{512, 4}},
		{Name: "norm", DType: "F32", Shape: []int64{4}},
	}
}

// Moved is the model with every weight moved by step.
func (m Model) Moved(step float64) Model {
	for k := range m.Theta {
		m.Theta[k] += step
	}
	return m
}

// Logprobs scores one sequence of T tokens: T-1 values.
func (m Model) Logprobs(ids []int32) []float32 {
	out := make([]float32, max(0, len(ids)-1))
	for t := range out {
		out[t] = m.logprob(ids[:t+1], ids[t+1])
	}
	return out
}

// Next is the most likely of the tokens 0…15.
func (m Model) Next(ids []int32) (int32, float32) {
	best, lp := int32(0), float32(math.Inf(-1))
	for token := range int32(16) {
		if x := m.logprob(ids, token); x > lp {
			best, lp = token, x
		}
	}
	return best, lp
}

func (m Model) logprob(prefix []int32, token int32) float32 {
	h := fnv.New64a()
	for _, id := range append(prefix[:len(prefix):len(prefix)], token) {
		_, _ = h.Write([]byte{byte(id), byte(id >> 8)}) // a hash does not fail
	}
	x := -4.0
	for k, w := range m.Theta {
		x += w * math.Sin(float64(h.Sum64()%100_003)*float64(k+1))
	}
	return float32(x)
}

// modelFile is the one file of a Model's folder. Only its name is safetensors'.
const modelFile = "model.safetensors"

// Export writes the model into a folder; it makes Model a bridge.Exporter.
func (m Model) Export(_ context.Context, dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, modelFile), b, 0o666)
}

// Load reads what Export wrote.
func Load(dir string) (Model, error) {
	var m Model
	b, err := os.ReadFile(filepath.Join(dir, modelFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Join(dir, modelFile), err)
	}
	return m, nil
}

// Inspector reads folders of Models.
type Inspector struct{}

// Tensors implements bridge.Inspector.
func (Inspector) Tensors(dir string) ([]bridge.Tensor, error) {
	m, err := Load(dir)
	if m.Tensors == nil {
		m.Tensors = Tensors()
	}
	return slices.Clone(m.Tensors), err
}

// SHA256 implements bridge.Inspector.
func (Inspector) SHA256(dir string) (string, error) {
	m, err := Load(dir)
	return m.sum(), err
}

func (m Model) sum() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x", m.Theta))
	return hex.EncodeToString(sum[:])
}

// Score makes Model a bridge.Scorer: the trainer's.
func (m *Model) Score(_ context.Context, seqs [][]int32) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	for i, s := range seqs {
		out[i] = m.Logprobs(s)
	}
	return out, nil
}

// Probes are three sequences, two of them longer than a cache block of the fake.
func Probes() [][]int32 {
	var out [][]int32
	for i, n := range []int{5, 40, 60} {
		p := make([]int32, n)
		for t := range p {
			p[t] = int32((i*131 + t*t*7 + t) % 500)
		}
		out = append(out, p)
	}
	return out
}
