package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/justrl/justrl/sampler"
)

const transformersName = "transformers"

//go:embed transformers_generate.py
var transformersGenerate string

// python is transformers' generate in a process that answers one JSON line
// with another, and sleeps between them. It gives no log-probs, asked or not:
// that it is spared their cost favours it.
type python struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies *bufio.Reader
	eos     []int32
}

// startTransformers blocks until the model is loaded. The process ends with ctx or by close.
func startTransformers(ctx context.Context, interpreter, model string, threads int, stderr io.Writer) (*python, error) {
	cmd := exec.CommandContext(ctx, interpreter, "-c", transformersGenerate, model, strconv.Itoa(threads))
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &python{cmd: cmd, in: in, replies: bufio.NewReader(out)}
	if _, err := p.reply(); err != nil { // it says that it is ready
		p.close()
		return nil, fmt.Errorf("did not start: %w", err)
	}
	return p, nil
}

// close ends the process and waits for it: the end of its input tells it to go.
func (p *python) close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// batch is a question to the process.
type batch struct {
	Prompts   [][]int32 `json:"prompts"`
	N         int       `json:"n"`
	MaxTokens int       `json:"max_tokens"`
	EOS       []int32   `json:"eos"`
	Seed      int64     `json:"seed"`
}

// Sample has all requests generated as one batch.
func (p *python) Sample(_ context.Context, requests []sampler.Request) (int, error) {
	b := batch{N: requests[0].Params.N, MaxTokens: requests[0].Params.MaxTokens, EOS: p.eos, Seed: requests[0].Seed}
	for _, r := range requests {
		b.Prompts = append(b.Prompts, r.PromptTokenIDs)
	}
	if err := json.NewEncoder(p.in).Encode(b); err != nil {
		return 0, err
	}
	return p.reply()
}

func (p *python) reply() (int, error) {
	line, err := p.replies.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return 0, errors.New("the process ended: see its output above")
	} else if err != nil {
		return 0, err
	}
	var reply struct {
		Tokens int `json:"tokens"`
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return 0, fmt.Errorf("%w: %.200q", err, line)
	}
	return reply.Tokens, nil
}
