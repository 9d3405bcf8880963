package main

import (
	"context"
	_ "embed"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/sampler"
)

const transformersName = "transformers"

//go:embed transformers_generate.py
var transformersGenerate string

// python is transformers' generate in a process of its own. It gives no
// log-probs, asked or not: that it is spared their cost favours it.
type python struct {
	*measure.Process
	eos []int32
}

// startTransformers blocks until the model is loaded. The process ends with ctx or by Close.
func startTransformers(ctx context.Context, interpreter, model string, threads int, stderr io.Writer) (*python, error) {
	cmd := exec.CommandContext(ctx, interpreter, "-c", transformersGenerate, model, strconv.Itoa(threads))
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	cmd.Stderr = stderr
	p, err := measure.Start(cmd, new(reply))
	return &python{Process: p}, err
}

// batch is a question to the process.
type batch struct {
	Prompts   [][]int32 `json:"prompts"`
	N         int       `json:"n"`
	MaxTokens int       `json:"max_tokens"`
	EOS       []int32   `json:"eos"`
	Seed      int64     `json:"seed"`
}

type reply struct {
	Tokens int `json:"tokens"`
}

// Sample has all requests generated as one batch.
func (p *python) Sample(_ context.Context, requests []sampler.Request) (int, error) {
	b := batch{N: requests[0].Params.N, MaxTokens: requests[0].Params.MaxTokens, EOS: p.eos, Seed: requests[0].Seed}
	for _, r := range requests {
		b.Prompts = append(b.Prompts, r.PromptTokenIDs)
	}
	var r reply
	err := p.Ask(b, &r)
	return r.Tokens, err
}
