package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater/model"
)

// workload is what every contender is asked for.
type workload struct {
	prompts, n, maxTokens int
	seed                  int64

	rows       []sampler.Row // of the whole dataset, rendered
	vocab      int
	eos        []int32
	parameters int64
}

// load renders the problems of data by the chat template of the model in dir.
func (w *workload) load(ctx context.Context, dir, data string) (err error) {
	spec, weights, err := model.Open(dir)
	if err != nil {
		return err
	}
	for _, name := range weights.Names() {
		info, _ := weights.Info(name)
		size := int64(1)
		for _, n := range info.Shape {
			size *= int64(n)
		}
		w.parameters += size
	}
	if err := weights.Close(); err != nil {
		return err
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	w.vocab, w.eos = spec.Vocab, tok.EOS()
	source, err := dataset.Open(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if source.Len() < int64(w.prompts) {
		return fmt.Errorf("%s has %d problems, a round needs %d: lower --prompts", data, source.Len(), w.prompts)
	}
	for i := range source.Len() {
		p, err := source.Problem(ctx, i)
		if err != nil {
			return err
		}
		ids, err := tok.Prompt(dataset.TrainingPrompt(p.Question))
		if err != nil {
			return fmt.Errorf("%s: problem %s: %w", data, p.ID, err)
		}
		w.rows = append(w.rows, sampler.Row{Ordinal: i, Problem: p, PromptTokenIDs: ids})
	}
	return nil
}

// round gives the requests of a round, the same for every contender. Rounds go
// on through the dataset, and begin again at its end.
func (w *workload) round(round int, logprobs bool) []sampler.Request {
	requests := make([]sampler.Request, w.prompts)
	seed := sampler.StepSeeds(w.seed, round)
	for i := range requests {
		row := w.rows[(round*w.prompts+i)%len(w.rows)]
		requests[i] = sampler.Request{
			PromptTokenIDs: row.PromptTokenIDs,
			Params:         sampler.Params{N: w.n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: w.maxTokens, Logprobs: logprobs},
			Seed:           seed(row), Count: w.n,
		}
	}
	return requests
}
