package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// preset is a model of random weights and how much of it fits a measurement.
type preset struct {
	config     map[string]any
	problems   int // a step; a quarter of them is an update
	packTokens int
	contenders []string // that ours is compared with unless others are asked for
}

// perGroup is the rollouts of a problem.
const perGroup = 8

var presets = map[string]preset{
	// 7 M parameters: what a laptop trains while one waits.
	"tiny": {problems: 16, packTokens: 4096, contenders: []string{trl, verl, best}, config: map[string]any{
		"architectures": []string{model.Qwen2}, "model_type": "qwen2", "vocab_size": 4096, "hidden_size": 256,
		"intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4,
	}},
	// SmolLM2-135M's shape: matrices as large as those of real models.
	"smol135m": {problems: 4, packTokens: 2048, contenders: []string{best}, config: map[string]any{
		"architectures": []string{model.Llama}, "model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
		"intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "rope_theta": 100000,
	}},
	// Qwen2.5's vocabulary on a small body: logits are most of the work and of the memory.
	"qwen-vocab": {problems: 4, packTokens: 2048, contenders: []string{verl, best}, config: map[string]any{
		"architectures": []string{model.Qwen2}, "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 256,
		"intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
	}},
}

// common is what the presets share; 0 ends a sequence and 1 pads one.
var common = map[string]any{
	"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 32768,
	"tie_word_embeddings": true, "dtype": "float32", "eos_token_id": end, "bos_token_id": nil, "pad_token_id": 1,
}

const end = 0

// writeModel makes a folder of random weights in the Hugging Face layout: norms
// are 1, all else is normal with a deviation of 0.02. One seed, one folder.
func writeModel(dir string, config map[string]any, seed uint64) error {
	whole := map[string]any{}
	for _, part := range []map[string]any{common, config} {
		for key, value := range part {
			whole[key] = value
		}
	}
	b, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return err
	}
	spec, err := model.Parse(b)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644)); err != nil {
		return err
	}
	var tensors []safetensors.Info
	for _, t := range spec.Tensors() {
		tensors = append(tensors, safetensors.Info{Name: t.Name, DType: "F32", Shape: t.Shape})
	}
	sizes := map[string]int64{}
	for _, t := range tensors {
		if sizes[t.Name], err = t.Size(); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(seed, 1))
	return safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"}, func(name string) ([]byte, error) {
		data := make([]byte, 0, sizes[name])
		for range sizes[name] / 4 {
			x := float32(1)
			if !strings.Contains(name, "norm") {
				x = float32(0.02 * random.NormFloat64())
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		return data, nil
	})
}

// lengths of responses are log-normal, as those of a policy that reasons: most
// are short, and a few are as long as they may be.
type lengths struct {
	median, sigma float64
	longest       int
}

var spreadLengths = lengths{median: 108, sigma: 0.9, longest: 1024}

// quantile is the length below which a share q of the responses are, 0 < q < 1.
// Taking one response at every quantile gives each seed the same lengths: what
// padding costs depends on the longest, which a draw leaves to chance.
func (l lengths) quantile(q float64) int {
	normal := math.Sqrt2 * math.Erfinv(2*q-1)
	return min(l.longest, max(4, int(math.Round(l.median*math.Exp(l.sigma*normal)))))
}

// makeRollouts draws answers to problems as a random policy might give them. A
// quarter of the groups, but not the first, have rewards that are all equal, so
// that they teach nothing. One seed, one result.
func makeRollouts(problems, vocab int, l lengths, seed uint64) []journal.Rollout {
	r := rand.New(rand.NewPCG(seed, 2))
	// Ranks are log-uniform, about as words are; the special tokens are left out.
	tokens := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(min(vocab-1, 1+int(math.Pow(float64(vocab-1), r.Float64()))))
		}
		return ids
	}
	total := problems * perGroup
	place := r.Perm(total)
	var all []journal.Rollout
	for problem := range problems {
		prompt := tokens(40 + r.IntN(81))
		right := 1 + r.IntN(perGroup-1)
		if problem > 0 && r.IntN(4) == 0 {
			right = perGroup * r.IntN(2)
		}
		order := r.Perm(perGroup)
		for sample := range perGroup {
			reward := -1.0
			if order[sample] < right {
				reward = 1
			}
			response := l.quantile((float64(place[len(all)]) + 0.5) / float64(total))
			all = append(all, journal.Rollout{
				Group: int64(problem), ProblemID: fmt.Sprintf("random-%d", problem), Sample: sample, FinishReason: "stop",
				PromptTokenIDs: prompt, TokenIDs: append(tokens(response-1), end), Reward: reward, Correct: reward > 0,
			})
		}
	}
	return all
}

// onePack is one group that fills a pack: a sequence of the longest length, and
// others that share the rest. Rewards alternate, so that each has a gradient;
// there are at least two.
func onePack(tokens, sequences, longest, vocab int, seed uint64) []journal.Rollout {
	const prompt = 64
	r := rand.New(rand.NewPCG(seed, 3))
	all := make([]journal.Rollout, sequences)
	for i := range all {
		n := longest
		if i > 0 {
			n = (tokens - longest) / (sequences - 1)
		}
		ids := make([]int32, n)
		for j := range ids {
			ids[j] = int32(r.IntN(vocab))
		}
		all[i] = journal.Rollout{Sample: i, PromptTokenIDs: ids[:prompt], TokenIDs: ids[prompt:], Reward: float64(i%2*2 - 1)}
	}
	return all
}

// writeRollouts writes JSON Lines.
func writeRollouts(path string, rollouts []journal.Rollout) error {
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, r := range rollouts {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// count gives the tokens of rollouts, and how many of them are responses'.
func count(rollouts []journal.Rollout) (tokens, responses int) {
	for _, r := range rollouts {
		tokens += len(r.PromptTokenIDs) + len(r.TokenIDs)
		responses += len(r.TokenIDs)
	}
	return tokens, responses
}
