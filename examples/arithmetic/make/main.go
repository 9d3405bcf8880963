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
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/justrl/justrl/examples/warmup"
	"github.com/justrl/justrl/sampler/dataset"
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
	var corpus []string
	for _, s := range train[:2000] {
		corpus = append(corpus, dataset.TrainingPrompt(s.question()), s.workedOut(), s.blurted(rng), "user\nassistant\nsystem\n")
	}
	return warmup.Policy(ctx, warmup.Options{
		Dir: filepath.Join(o.out, "policy"), Corpus: corpus, Vocab: 380,
		Updates: o.updates, Batch: o.batch, LR: o.lr, Seed: o.seed, Threads: o.threads,
		Draw: func(int) (message, answer string) { // the mixture of habits
			s := train[rng.IntN(len(train))]
			return dataset.TrainingPrompt(s.question()), s.respond(rng)
		},
	})
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
