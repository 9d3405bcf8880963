package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/urfave/cli/v2"
)

// sequence is a line of a sequences file.
type sequence struct {
	ID       json.RawMessage `json:"id"`
	TokenIDs json.RawMessage `json:"token_ids"`
}

type scored struct {
	ID       json.RawMessage `json:"id"`
	Logprobs []float32       `json:"logprobs"`
	Entropy  []float32       `json:"entropy"`
}

// scoreBatch is how many sequences are handed to the updater at once: enough
// to fill packs, few enough to hold their results.
const scoreBatch = 256

func logprobsCommand() *cli.Command {
	return &cli.Command{
		Name:  "logprobs",
		Usage: "write the model's log-prob and entropy at every token of given sequences",
		Flags: []cli.Flag{
			modelFlag("`DIR` of the model in the Hugging Face layout (required)"),
			&cli.StringFlag{Name: "in", Usage: "JSON Lines `FILE` of {id, token_ids}"},
			&cli.StringFlag{Name: "out", Usage: "`FILE` to write: {id, logprobs, entropy}, both one shorter than the tokens"},
			&cli.Float64Flag{Name: "temperature", Value: 1, Usage: "divide the logits by `T`"},
			presetFlag(), fileFlag(), setFlag(), dtypeFlag(), deviceFlag(), threadsFlag(),
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) (err error) {
			if err := errors.Join(noArguments(c), need(c, "model", "in", "out")); err != nil {
				return err
			}
			if t := c.Float64("temperature"); !(t > 0) || math.IsInf(t, 1) {
				return usagef("--temperature must be more than 0, is %g", c.Float64("temperature"))
			}
			cfg, err := recipe(c)
			if err != nil {
				return err
			}
			t, err := openTrainer(c.Context, trainerOptions{
				model: c.String("model"), dtype: cfg.Trainer.DType, device: cfg.Trainer.Device, threads: cfg.Trainer.Threads,
				update: cfg.Update, optimizer: cfg.Optimizer,
			})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, t.Close()) }()
			return writeFile(c.String("out"), func(w io.Writer) error { return writeLogprobs(c, t, w) })
		},
	}
}

func writeLogprobs(c *cli.Context, t trainer, w io.Writer) error {
	enc := jsonLines(w)
	var ids []json.RawMessage
	var seqs [][]int32
	flush := func() error {
		scores, err := t.Score(c.Context, seqs, c.Float64("temperature"))
		if err != nil {
			return err
		}
		for i, s := range scores {
			if err := enc.Encode(scored{ID: ids[i], Logprobs: s.Logprobs, Entropy: s.Entropy}); err != nil {
				return err
			}
		}
		ids, seqs = ids[:0], seqs[:0]
		return nil
	}
	vocab := int32(t.Spec().Vocab)
	err := eachLine(c.String("in"), func(_ int, s sequence) error {
		tokens, err := tokenIDs("token_ids", s.TokenIDs, vocab)
		if err != nil {
			return err
		}
		if len(tokens) < 2 {
			return fmt.Errorf("token_ids has %d tokens; a log-prob needs at least 2", len(tokens))
		}
		ids, seqs = append(ids, s.ID), append(seqs, tokens)
		if len(seqs) < scoreBatch {
			return nil
		}
		return flush()
	})
	if err != nil || len(seqs) == 0 {
		return err
	}
	return flush()
}
