//go:build torch

// Command make makes what the README and the tests train: a small Qwen2 with
// a tokenizer of its own, warmed up on generated arithmetic in JustRL's prompt
// form, and the problems to train it on and to hold out.
//
//	scripts/with-torch go run -tags torch ./examples/arithmetic/make --out examples/arithmetic
//
// Problems and tokenizer depend on the flags alone; the weights on libtorch, on
// the number of threads and on every rounding of the updater too.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/torch"
)

type options struct {
	out            string
	seed           int64
	updates, batch int
	lr             float64
	heldOut        int
	threads        int
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "examples/arithmetic", "folder to write policy/, train.jsonl and heldout.jsonl into")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the problems, the first weights and the warm-up")
	flag.IntVar(&o.updates, "updates", 900, "optimizer updates of the warm-up")
	flag.IntVar(&o.batch, "batch", 256, "answers an update")
	flag.Float64Var(&o.lr, "lr", 2e-3, "highest learning rate; it rises over a tenth of the updates and falls to zero as a cosine")
	flag.IntVar(&o.heldOut, "held-out", 200, "problems held out")
	flag.IntVar(&o.threads, "threads", 0, "CPU threads; 0 = all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("make policy", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	rng := rand.New(rand.NewPCG(uint64(o.seed), 0))
	train, held := split(rng, o.heldOut)
	for name, sums := range map[string][]sum{"train": train, "heldout": held} {
		if err := writeProblems(filepath.Join(o.out, name+".jsonl"), name, sums); err != nil {
			return err
		}
	}
	dir := filepath.Join(o.out, "policy")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	tok, err := makeTokenizer(dir, train, rng)
	if err != nil {
		return err
	}
	if err := torch.Init(dir, spec(tok), o.seed); err != nil {
		return err
	}
	if err := writeGenerationConfig(dir, tok); err != nil {
		return err
	}
	return warmUp(ctx, o, dir, tok, train, rng)
}

// spec is the smallest shape that learns the sums and that vLLM's CPU kernels
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

// makeTokenizer trains a BPE on what the policy will read and write.
func makeTokenizer(dir string, train []sum, rng *rand.Rand) (*tokenizer.Tokenizer, error) {
	var corpus []string
	for _, s := range train[:2000] {
		corpus = append(corpus, dataset.TrainingPrompt(s.question()), s.workedOut(), s.blurted(rng), "user\nassistant\nsystem\n")
	}
	err := tokenizer.Train(dir, corpus, tokenizer.TrainOptions{
		Vocab: 380, Special: []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, EOS: "<|im_end|>", Pad: "<|endoftext|>", Template: chatML,
	})
	if err != nil {
		return nil, err
	}
	return tokenizer.Load(dir)
}

// warmUp is supervised learning of the mixture of habits.
func warmUp(ctx context.Context, o options, dir string, tok *tokenizer.Tokenizer, train []sum, rng *rand.Rand) error {
	optimizer := updater.DefaultOptimizerConfig()
	cfg := updater.DefaultConfig()
	cfg.MaxPackTokens = 4096
	t, err := torch.Open(ctx, torch.Options{Dir: dir, Threads: o.threads, Update: cfg, Optimizer: optimizer})
	if err != nil {
		return err
	}
	defer t.Close() //nolint:errcheck // nothing is lost
	eos := tok.EOS()[0]
	for u := range o.updates {
		batch := make([]updater.Rollout, o.batch)
		for i := range batch {
			s := train[rng.IntN(len(train))]
			prompt, err := tok.Prompt(dataset.TrainingPrompt(s.question()))
			if err != nil {
				return err
			}
			batch[i] = updater.Rollout{PromptTokenIDs: prompt, TokenIDs: append(tok.Encode(s.respond(rng)), eos)}
		}
		loss, err := t.Supervise(ctx, batch, rate(o, u))
		if err != nil {
			return err
		}
		if u%50 == 0 || u == o.updates-1 {
			slog.Info("warm-up", "update", u, "of", o.updates, "nats/token", loss)
		}
	}
	trained, err := os.MkdirTemp(o.out, ".policy-")
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
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(trained, dir)
}

// rate rises linearly over the first tenth and falls to zero as a cosine.
func rate(o options, update int) float64 {
	warm := o.updates / 10
	if update < warm {
		return o.lr * float64(update+1) / float64(warm)
	}
	return o.lr * (1 + math.Cos(math.Pi*float64(update-warm)/float64(o.updates-warm))) / 2
}

// writeProblems writes sums in the schema of the published training sets.
func writeProblems(path, split string, sums []sum) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed below when all went well
	enc := json.NewEncoder(f)
	for i, s := range sums {
		var line struct {
			Prompt []struct {
				Role    string `json:"role"`
				Content string `json:"content"`
			} `json:"prompt"`
			RewardModel struct {
				GroundTruth string `json:"ground_truth"`
			} `json:"reward_model"`
			ExtraInfo struct {
				Index string `json:"index"`
			} `json:"extra_info"`
		}
		line.Prompt = append(line.Prompt, struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		}{"user", s.question()})
		line.RewardModel.GroundTruth = s.answer()
		line.ExtraInfo.Index = fmt.Sprintf("%s-%04d", split, i)
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return f.Close()
}

func writeGenerationConfig(dir string, tok *tokenizer.Tokenizer) error {
	b, err := json.MarshalIndent(map[string]any{"eos_token_id": tok.EOS(), "do_sample": true, "temperature": 1.0}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "generation_config.json"), append(b, '\n'), 0o644)
}
