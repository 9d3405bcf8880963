//go:build torch

// Package warmup makes a policy for an example: a small Qwen2 of random weights
// with a tokenizer of its own, taught to answer in the manner that the example
// draws answers in.
package warmup

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/torch"
)

// Options say what to make.
type Options struct {
	Dir     string   // the policy's folder
	Corpus  []string // what the tokenizer is trained on
	Vocab   int      // the most tokens
	Updates int      // optimizer updates
	Batch   int      // answers an update
	LR      float64  // highest learning rate; it rises over a tenth of the updates and falls to zero as a cosine
	Seed    int64    // of the first weights
	Threads int      // CPU threads; 0 = all
	// Draw is a user's message and an answer to it, both at random, for an update, from 0.
	Draw func(update int) (message, answer string)
}

// Policy writes the policy's folder when all is done, in place of one that is there.
// Tokenizer and first weights depend on the options alone; the weights on libtorch, the
// number of threads and every rounding of the updater too.
func Policy(ctx context.Context, o Options) error {
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o777); err != nil {
		return err
	}
	start, err := os.MkdirTemp(filepath.Dir(o.Dir), ".start-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(start) //nolint:errcheck // of no use to anybody
	err = tokenizer.Train(start, o.Corpus, tokenizer.TrainOptions{
		Vocab: o.Vocab, Special: []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, EOS: "<|im_end|>", Pad: "<|endoftext|>", Template: chatML,
	})
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(start)
	if err != nil {
		return err
	}
	if err := torch.Init(start, spec(tok), o.Seed); err != nil {
		return err
	}
	if err := writeGenerationConfig(start, tok); err != nil {
		return err
	}
	return supervise(ctx, o, start, tok)
}

// spec is the smallest shape that learns the examples and that vLLM's CPU kernels
// take: they refuse heads narrower than 32.
func spec(tok *tokenizer.Tokenizer) model.Spec {
	return model.Spec{
		Architecture: "Qwen2ForCausalLM", Layers: 3, Hidden: 128, Intermediate: 352, Heads: 4, KVHeads: 2, HeadDim: 32,
		Vocab: (tok.Vocab() + 63) / 64 * 64, MaxPositions: 2048, RMSEps: 1e-6, Rope: model.Rope{Theta: 10000},
		TiedHead: false, QKVBias: true, DType: "float32", EOS: tok.EOS(),
	}
}

// chatML is the form of conversation that Qwen2 was trained in, without its system message.
const chatML = `{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}
`

// supervise is supervised learning of what o.Draw gives, beginning with the model in start.
func supervise(ctx context.Context, o Options, start string, tok *tokenizer.Tokenizer) error {
	optimizer := updater.DefaultOptimizerConfig()
	cfg := updater.DefaultConfig()
	cfg.MaxPackTokens = 4096
	t, err := torch.Open(ctx, torch.Options{Dir: start, Threads: o.Threads, Update: cfg, Optimizer: optimizer})
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // nothing is lost
	eos := tok.EOS()[0]
	for u := range o.Updates {
		batch := make([]updater.Rollout, o.Batch)
		for i := range batch {
			message, answer := o.Draw(u)
			prompt, err := tok.Prompt(message)
			if err != nil {
				return err
			}
			batch[i] = updater.Rollout{PromptTokenIDs: prompt, TokenIDs: append(tok.Encode(answer), eos)}
		}
		loss, err := t.Supervise(ctx, batch, o.rate(u))
		if err != nil {
			return err
		}
		if u%50 == 0 || u == o.Updates-1 {
			slog.Info("warm-up", "update", u, "of", o.Updates, "nats/token", loss)
		}
	}
	trained, err := os.MkdirTemp(filepath.Dir(o.Dir), ".policy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(trained) //nolint:errcheck // moved away when all went well
	if err := t.Export(ctx, trained); err != nil {
		return err
	}
	if err := os.Chmod(trained, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	return os.Rename(trained, o.Dir)
}

// rate rises linearly over the first tenth and falls to zero as a cosine.
func (o Options) rate(update int) float64 {
	warm := o.Updates / 10
	if update < warm {
		return o.LR * float64(update+1) / float64(warm)
	}
	return o.LR * (1 + math.Cos(math.Pi*float64(update-warm)/float64(o.Updates-warm))) / 2
}

func writeGenerationConfig(dir string, tok *tokenizer.Tokenizer) error {
	b, err := json.MarshalIndent(map[string]any{"eos_token_id": tok.EOS(), "do_sample": true, "temperature": 1.0}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "generation_config.json"), append(b, '\n'), 0o644)
}
