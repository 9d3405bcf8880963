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
	Prompts     int  `json:"prompts"`
	MaxTokens   int  `json:"max_tokens"`
	Concurrency int  `json:"concurrency"`
	Ours        side `json:"ours"`
	Streamed    side `json:"ours_streamed"` // what vLLM's has to do: an event a token
	Theirs      side `json:"vllm_bench_serve"`
	// Ours by theirs, of a turn.
	Rate     measure.Spread `json:"tokens_per_s_ours_by_theirs"`
	CPU      measure.Spread `json:"cpu_s_ours_by_theirs"`
	Asking   measure.Spread `json:"cpu_s_of_requests_ours_by_theirs"`
	Stream   measure.Spread `json:"tokens_per_s_ours_streamed_by_theirs"`
	StreamOf measure.Spread `json:"cpu_s_of_requests_ours_streamed_by_theirs"`
	// What a token costs the server, whatever else the machine does: ours by
	// theirs, tokens by processor seconds of the server's processes. Nil where they are not known.
	Server       *measure.Spread `json:"tokens_per_server_cpu_s_ours_by_theirs,omitempty"`
	ServerStream *measure.Spread `json:"tokens_per_server_cpu_s_ours_streamed_by_theirs,omitempty"`
}

type side struct {
	Rate   measure.Spread `json:"tokens_per_s"`
	CPU    measure.Spread `json:"cpu_s"`             // of the client's whole process
	Asking measure.Spread `json:"cpu_s_of_requests"` // without its start: from the first request to the last answer
}

// asked is what a client says of a turn, in the names of vLLM's.
type asked struct {
	Completed int     `json:"completed"`
	Prompt    int     `json:"total_input_tokens"`
	Tokens    int     `json:"total_output_tokens"`
	Rate      float64 `json:"output_throughput"`
	CPU       float64 `json:"cpu_s"`
	whole     float64 // processor seconds of the process
	server    float64 // and of the server's
}

func (a asked) String() string {
	return fmt.Sprintf("%.0f %.2f %.2f %.1f", a.Rate, a.whole, a.CPU, a.server)
}

// benchServe is vLLM's command, which says in its result what processor time
// its benchmark took: the start of the interpreter, some seconds of imports, is not in it.
const benchServe = `
import resource, sys
from vllm.benchmarks import serve

def spent():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime

benchmark = serve.benchmark

async def timed(*args, **kwargs):
    before = spent()
    result = await benchmark(*args, **kwargs)
    return {**result, "cpu_s": spent() - before}

serve.benchmark = timed
from vllm.entrypoints.cli.main import main
sys.argv[0] = "vllm"
main()
`

// duel has the clients take turns, first to last and last to first. All send
// the same prompts and sampling parameters, seeds included, ask for token ids and
// log-probs, and go on after an end token, so that every answer has as many
// tokens. vLLM's sends text, and can only stream.
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
	contenders := []func(turn int) (asked, error){
		func(turn int) (asked, error) { return o.ours(ctx, prompts, "whole", turn) },
		func(turn int) (asked, error) { return o.ours(ctx, prompts, "stream", turn) },
		func(turn int) (asked, error) { return o.theirs(ctx, prompts, filepath.Join(work, "result.json"), turn) },
	}
	got := make([][]asked, len(contenders))
	for pair := range o.pairs + 1 {
		for i := range contenders {
			who := i
			if pair%2 == 1 {
				who = len(contenders) - 1 - i
			}
			before := measure.TreeCPU(o.serverPID)
			a, err := contenders[who](pair)
			if err != nil {
				return nil, err
			}
			a.server = measure.TreeCPU(o.serverPID) - before
			if want := o.prompts * o.maxTokens; a.Completed != o.prompts || a.Tokens != want {
				return nil, fmt.Errorf("client %d has %d answers of %d tokens, asked for %d of %d", who, a.Completed, a.Tokens, o.prompts, want)
			}
			got[who] = append(got[who], a)
		}
		ours, streamed, theirs := got[0][pair], got[1][pair], got[2][pair]
		if ours.Prompt != theirs.Prompt || streamed.Prompt != theirs.Prompt {
			return nil, fmt.Errorf("the prompts are not the same: %d tokens of ours, %d of theirs", ours.Prompt, theirs.Prompt)
		}
		if pair > 0 { // the first warms the server and the disk's cache up
			fmt.Fprintf(stderr, "vllm, turn %d: tokens/s, processor seconds, without its start, of the server: ours %s; streamed %s; theirs %s\n", pair, ours, streamed, theirs)
		}
	}
	for who := range got {
		got[who] = got[who][1:]
	}
	rate := func(a asked) float64 { return a.Rate }
	whole := func(a asked) float64 { return a.whole }
	asking := func(a asked) float64 { return a.CPU }
	sideOf := func(who int) side {
		return side{spreadOf(got[who], rate), spreadOf(got[who], whole), spreadOf(got[who], asking)}
	}
	d := &duel{
		Prompts: o.prompts, MaxTokens: o.maxTokens, Concurrency: o.concurrency,
		Ours: sideOf(0), Streamed: sideOf(1), Theirs: sideOf(2),
		Rate: ratios(got[0], got[2], rate), CPU: ratios(got[0], got[2], whole), Asking: ratios(got[0], got[2], asking),
		Stream: ratios(got[1], got[2], rate), StreamOf: ratios(got[1], got[2], asking),
	}
	if o.serverPID != 0 {
		perServer := func(a asked) float64 { return float64(a.Tokens) / a.server }
		ours, streamed := ratios(got[0], got[2], perServer), ratios(got[1], got[2], perServer)
		d.Server, d.ServerStream = &ours, &streamed
	}
	return d, nil
}

func spreadOf(turns []asked, figure func(asked) float64) measure.Spread {
	all := make([]float64, len(turns))
	for i, a := range turns {
		all[i] = figure(a)
	}
	return measure.SpreadOf(all)
}

// ratios are a's figure by b's, turn by turn.
func ratios(a, b []asked, figure func(asked) float64) measure.Spread {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = figure(a[i]) / figure(b[i])
	}
	return measure.SpreadOf(all)
}

// seedOf is what a turn's first prompt draws from.
func seedOf(turn int) int64 { return int64(1+turn) << 20 }

// ours is one turn of our client.
func (o options) ours(ctx context.Context, prompts, way string, turn int) (asked, error) {
	var a asked
	c, err := child(ctx, []string{"ask-vllm", o.server, o.model, prompts, way, strconv.Itoa(o.maxTokens), strconv.Itoa(o.concurrency), strconv.Itoa(turn)}, &a)
	a.whole = c.cpu.Seconds()
	return a, err
}

// theirs is one turn of vLLM's.
func (o options) theirs(ctx context.Context, prompts, result string, turn int) (asked, error) {
	cmd := exec.CommandContext(ctx, o.python, "-c", benchServe, "bench", "serve",
		"--backend", "openai", "--base-url", o.server, "--endpoint", "/v1/completions",
		"--model", o.model, "--tokenizer", o.model, "--served-model-name", filepath.Base(o.model),
		"--dataset-name", "sharegpt", "--dataset-path", prompts, "--disable-shuffle", "--no-oversample", "--sharegpt-output-len", strconv.Itoa(o.maxTokens),
		"--num-prompts", strconv.Itoa(o.prompts), "--max-concurrency", strconv.Itoa(o.concurrency),
		"--ignore-eos", "--logprobs", "0", "--temperature", "1", "--top-p", "1", "--top-k", "-1",
		"--extra-body", fmt.Sprintf(`{"seed":%d,"return_token_ids":true}`, seedOf(turn)),
		"--ready-check-timeout-sec", "0", "--disable-tqdm", "--save-result", "--result-filename", result)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1", "PYTHONDONTWRITEBYTECODE=")
	var a asked
	_, c, err := costOf(cmd)
	if err != nil {
		return a, fmt.Errorf("vllm bench serve: %w", err)
	}
	b, err := os.ReadFile(result)
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(b, &a)
	a.whole = c.cpu.Seconds()
	return a, err
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
	url, model, prompts, way := args[0], args[1], args[2], args[3]
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(args[4+i])
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
	settings := vllm.Options{Model: filepath.Base(model), Retry: endpoint.Retry{Tries: 1}}
	if way == "stream" {
		settings.Stream = &vllm.Stream{}
	}
	g, err := vllm.New(e, settings)
	if err != nil {
		return err
	}
	ids, tokens := make([][]int32, len(all)), make([]int, len(all))
	for i, c := range all {
		ids[i] = tok.Encode(c.Conversations[0].Value)
	}
	spent, began := processorTime(), time.Now()
	var pool errgroup.Group
	pool.SetLimit(concurrency)
	for i := range all {
		pool.Go(func() error {
			got, err := g.Generate(ctx, sampler.Request{
				PromptTokenIDs: ids[i], Seed: seedOf(turn), Count: 1,
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
	took := time.Since(began).Seconds()
	a := asked{Completed: len(all), CPU: (processorTime() - spent).Seconds()}
	for i, n := range tokens {
		a.Prompt, a.Tokens = a.Prompt+len(ids[i]), a.Tokens+n
	}
	a.Rate = float64(a.Tokens) / took
	return json.NewEncoder(stdout).Encode(a)
}
