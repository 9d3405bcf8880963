package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/sampler/vllm"
)

// duel is our client against vLLM's own, on one real server.
type duel struct {
	Prompts     int            `json:"prompts"`
	MaxTokens   int            `json:"max_tokens"`
	Concurrency int            `json:"concurrency"`
	Ours        side           `json:"ours"`
	Theirs      side           `json:"vllm_bench_serve"`
	Rate        measure.Spread `json:"tokens_per_s_ours_by_theirs"`
	CPU         measure.Spread `json:"cpu_s_ours_by_theirs"`
}

type side struct {
	Rate measure.Spread `json:"tokens_per_s"`
	CPU  measure.Spread `json:"cpu_s"` // of the client's whole process
}

// asked is what a client says of a turn, in the names of vLLM's.
type asked struct {
	Completed int     `json:"completed"`
	Tokens    int     `json:"total_output_tokens"`
	Rate      float64 `json:"output_throughput"`
}

// duel has the clients take turns; who begins changes from pair to pair. Both
// ask for log-probs and go on after an end token, so that every answer has as
// many tokens; vLLM's can only stream.
func (o options) duel(ctx context.Context, stderr io.Writer) (*duel, error) {
	work, err := os.MkdirTemp("", "justrl-bench-sample")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // of no use to anybody
	prompts := filepath.Join(work, "prompts.json")
	if err := o.writePrompts(ctx, prompts); err != nil {
		return nil, err
	}
	ours := func(turn int) (a asked, c cost, err error) {
		c, err = child(ctx, []string{"ask-vllm", o.server, o.model, prompts, strconv.Itoa(o.maxTokens), strconv.Itoa(o.concurrency), strconv.Itoa(turn)}, &a)
		return a, c, err
	}
	theirs := func(turn int) (a asked, c cost, err error) {
		result := filepath.Join(work, "result.json")
		cmd := exec.CommandContext(ctx, o.python, "-m", "vllm.entrypoints.cli.main", "bench", "serve",
			"--backend", "openai", "--base-url", o.server, "--endpoint", "/v1/completions",
			"--model", o.model, "--tokenizer", o.model, "--served-model-name", filepath.Base(o.model),
			"--dataset-name", "sharegpt", "--dataset-path", prompts, "--disable-shuffle", "--sharegpt-output-len", strconv.Itoa(o.maxTokens),
			"--num-prompts", strconv.Itoa(o.prompts), "--max-concurrency", strconv.Itoa(o.concurrency),
			"--ignore-eos", "--logprobs", "0", "--temperature", "1", "--top-p", "1", "--seed", strconv.Itoa(turn),
			"--ready-check-timeout-sec", "0", "--disable-tqdm", "--save-result", "--result-filename", result)
		cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1")
		if _, c, err = costOf(cmd); err != nil {
			return a, c, fmt.Errorf("vllm bench serve: %w", err)
		}
		b, err := os.ReadFile(result)
		if err != nil {
			return a, c, err
		}
		return a, c, json.Unmarshal(b, &a)
	}
	if _, _, err := ours(-1); err != nil { // warms the server up
		return nil, err
	}
	var rates, cpus [2][]float64
	var rate, cpu []float64
	for pair := range o.pairs {
		var got [2]asked
		var took [2]cost
		for i := range 2 {
			who := (i + pair) % 2
			var err error
			if got[who], took[who], err = []func(int) (asked, cost, error){ours, theirs}[who](pair); err != nil {
				return nil, err
			}
			if want := o.prompts * o.maxTokens; got[who].Completed != o.prompts || got[who].Tokens != want {
				return nil, fmt.Errorf("client %d has %d answers of %d tokens, asked for %d of %d", who, got[who].Completed, got[who].Tokens, o.prompts, want)
			}
			rates[who], cpus[who] = append(rates[who], got[who].Rate), append(cpus[who], took[who].cpu.Seconds())
		}
		rate, cpu = append(rate, got[0].Rate/got[1].Rate), append(cpu, took[0].cpu.Seconds()/took[1].cpu.Seconds())
		fmt.Fprintf(stderr, "vllm, pair %d: ours %.0f tokens/s, %.2f s of processor; theirs %.0f, %.2f\n", pair+1, got[0].Rate, took[0].cpu.Seconds(), got[1].Rate, took[1].cpu.Seconds())
	}
	return &duel{
		Prompts: o.prompts, MaxTokens: o.maxTokens, Concurrency: o.concurrency,
		Ours:   side{measure.SpreadOf(rates[0]), measure.SpreadOf(cpus[0])},
		Theirs: side{measure.SpreadOf(rates[1]), measure.SpreadOf(cpus[1])},
		Rate:   measure.SpreadOf(rate), CPU: measure.SpreadOf(cpu),
	}, nil
}

// conversation is a line of ShareGPT's file, the one of vLLM's formats that needs no pandas.
type conversation struct {
	Conversations []turn `json:"conversations"`
}

type turn struct {
	Value string `json:"value"`
}

// writePrompts writes the first questions of the data.
func (o options) writePrompts(ctx context.Context, path string) error {
	source, err := dataset.Open(ctx, o.data)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // it was read
	if source.Len() < int64(o.prompts) {
		return fmt.Errorf("%s has %d problems: lower --prompts", o.data, source.Len())
	}
	var all []conversation
	for i := range int64(o.prompts) {
		p, err := source.Problem(ctx, i)
		if err != nil {
			return err
		}
		all = append(all, conversation{[]turn{{dataset.TrainingPrompt(p.Question)}, {"unused"}}})
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// onAndOn is the network, with requests made to go on after an end token, which
// no user of the sampler can ask for.
type onAndOn struct{ http.RoundTripper }

func (n onAndOn) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	changed := bytes.Replace(body, []byte(`"ignore_eos":false`), []byte(`"ignore_eos":true`), 1)
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	return n.RoundTripper.RoundTrip(r)
}

// askVLLM is our client, from the start of its process on.
func askVLLM(ctx context.Context, args []string, stdout io.Writer) error {
	url, model, prompts := args[0], args[1], args[2]
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(args[3+i])
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	maxTokens, concurrency, turn := numbers[0], numbers[1], numbers[2]
	tok, err := tokenizer.Load(model)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(prompts)
	if err != nil {
		return err
	}
	var all []conversation
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	e, err := endpoint.New(url, endpoint.Options{Transport: onAndOn{&http.Transport{MaxIdleConnsPerHost: concurrency}}})
	if err != nil {
		return err
	}
	defer e.Close()
	g, err := vllm.New(e, vllm.Options{Model: filepath.Base(model), Retry: endpoint.Retry{Tries: 1}})
	if err != nil {
		return err
	}
	tokens := make([]int, len(all))
	began := time.Now()
	var pool errgroup.Group
	pool.SetLimit(concurrency)
	for i, c := range all {
		pool.Go(func() error {
			got, err := g.Generate(ctx, sampler.Request{
				PromptTokenIDs: tok.Encode(c.Conversations[0].Value), Seed: int64(1+turn)<<20 + int64(i), Count: 1,
				Params: sampler.Params{N: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
			})
			for _, x := range got {
				tokens[i] += len(x.TokenIDs)
			}
			return err
		})
	}
	if err := pool.Wait(); err != nil {
		return err
	}
	a := asked{Completed: len(all)}
	for _, n := range tokens {
		a.Tokens += n
	}
	a.Rate = float64(a.Tokens) / time.Since(began).Seconds()
	return json.NewEncoder(stdout).Encode(a)
}
