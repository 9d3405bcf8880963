package openaitest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/justrl/justrl/internal/splitmix"
)

// Policy is a language model in which the next token depends on the previous
// one alone. Its logits are a seeded table plus a small part that the weights'
// hash decides: reloading weights moves every log-prob a little, as a training
// step does, and the same weights always give the same bits.
type Policy struct {
	vocab   int
	eos     int32
	step    float64
	base    uint64
	weights uint64

	mu   sync.Mutex
	rows map[int32][]float64
}

// mixWeights names what a stale prefix cache computes with: some of the old weights, some of the new.
func mixWeights(a, b string) string { return a + "+" + b }

// NewPolicy is the policy of a server with these options and weights.
func NewPolicy(o Options, weights string) *Policy {
	o = withDefaults(o)
	sum := sha256.Sum256([]byte(weights))
	return &Policy{
		vocab: o.Vocab, eos: o.EOS, step: o.Step, base: splitmix.Mix(o.PolicySeed),
		weights: binary.LittleEndian.Uint64(sum[:]), rows: map[int32][]float64{},
	}
}

// Biases that make rollouts look like answers: some end by themselves, some
// hold a box.
const (
	eosBias = 4.0
	boxBias = 2.5
)

// row is the log-probs of the token after prev, float64.
func (p *Policy) row(prev int32) []float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if row, ok := p.rows[prev]; ok {
		return row
	}
	row := make([]float64, p.vocab)
	most := math.Inf(-1)
	for v := range row {
		at := uint64(uint32(prev))<<32 | uint64(v)
		row[v] = 2*unit(p.base^splitmix.Mix(at)) + p.step*unit(p.weights^splitmix.Mix(at))
		switch {
		case int32(v) == p.eos:
			row[v] += eosBias
		case isBox(int32(v)):
			row[v] += boxBias
		}
		most = math.Max(most, row[v])
	}
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(x - most)
	}
	norm := most + math.Log(sum)
	for v := range row {
		row[v] -= norm
	}
	p.rows[prev] = row
	return row
}

// Logprobs is, for a sequence of T tokens, the T-1 log-probs of token t+1 given tokens 0…t.
func (p *Policy) Logprobs(ids []int32) []float32 {
	out := make([]float32, max(0, len(ids)-1))
	for t := range out {
		out[t] = float32(p.row(ids[t])[ids[t+1]])
	}
	return out
}

// unit is a number in [-1, 1) out of 64 bits.
func unit(x uint64) float64 { return float64(int64(splitmix.Mix(x))>>10) / (1 << 53) }

// HashWeights is the SHA-256 over the *.safetensors files of a folder, in name
// order, in hex: what makes weights the same weights. A file that is cut or
// no safetensors is an error.
func HashWeights(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("%s: no *.safetensors file", dir)
	}
	sort.Strings(files)
	h := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		if err := checkSafetensors(b); err != nil {
			return "", fmt.Errorf("%s: %w", f, err)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
