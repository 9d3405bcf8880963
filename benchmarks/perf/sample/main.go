// Command sample measures what sampling costs the client, as ratios of one run:
//
//   - read: the same answer of a vLLM, eight rollouts of 15,360 tokens with ids
//     and log-probs, read by our client and by encoding/json into the same
//     fields, in turns; by processor time, the collector's included;
//   - replay: a server that answers 256 requests at once so, and the memory of a
//     process that keeps all 2,048 rollouts;
//   - vllm: a real vLLM, asked the same prompts for as many tokens by our client
//     and by vLLM's own benchmark client, in turns: tokens a second, and the
//     processor time of the client's whole process.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// The bars that the client is held to.
const (
	leastOfJSON   = 5         // times encoding/json's rate
	bytesPerToken = 16        // of memory, beside
	bytesBeside   = 200 * 1e6 // these
	leastOfVLLM   = 1         // times the tokens a second of vLLM's client
	mostOfVLLM    = 0.25      // of its processor time
)

func main() { measure.Main("sample", run) }

type options struct {
	answers, n, tokens int
	pairs              int
	json               bool
	// of the real server; none, and there is no such contest
	server      string
	python      string
	model       string
	data        string
	prompts     int
	maxTokens   int
	concurrency int
}

type report struct {
	Machine measure.Machine `json:"machine"`
	Read    *reading        `json:"read"`
	Replay  *replay         `json:"replay"`
	VLLM    *duel           `json:"vllm,omitempty"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && children[args[0]] != nil {
		return children[args[0]](ctx, args[1:], stdout)
	}
	var o options
	f := flag.NewFlagSet("sample", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.answers, "answers", 2048, "rollouts that the replayed server gives")
	f.IntVar(&o.n, "n", 8, "rollouts of one request")
	f.IntVar(&o.tokens, "tokens", 15360, "tokens of a rollout")
	f.IntVar(&o.pairs, "pairs", 7, "turns of each contest")
	f.StringVar(&o.server, "server", "", "`URL` of a real vLLM (default: without)")
	f.StringVar(&o.python, "python", "", "`PYTHON` that has that vLLM's own client")
	f.StringVar(&o.model, "model", "", "`DIR` of the model that it serves")
	f.StringVar(&o.data, "data", "", "`FILE` of problems, whose questions are the prompts")
	f.IntVar(&o.prompts, "prompts", 48, "requests of a turn")
	f.IntVar(&o.maxTokens, "max-tokens", 128, "tokens of each answer")
	f.IntVar(&o.concurrency, "concurrency", 16, "requests at a time")
	f.BoolVar(&o.json, "json", false, "write one JSON object instead of tables")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || min(o.answers, o.n, o.tokens, o.pairs, o.prompts, o.maxTokens, o.concurrency) < 1 || o.answers%o.n != 0 {
		return errors.New("every number is at least 1, --answers is a multiple of --n, and there are no words")
	}
	if o.server != "" && (o.python == "" || o.model == "" || o.data == "") {
		return errors.New("--server needs --python, --model and --data")
	}
	r := report{Machine: measure.ThisMachine()}
	var err error
	if r.Read, err = o.read(ctx, stderr); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if r.Replay, err = o.replay(ctx, stderr); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if o.server != "" {
		if r.VLLM, err = o.duel(ctx, stderr); err != nil {
			return fmt.Errorf("vllm: %w", err)
		}
	}
	if o.json {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.write(stdout)
	}
	return errors.Join(err, r.held())
}

func (r report) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%d cores (%s); medians, with the lowest and the highest\n", r.Machine.Cores, r.Machine.Processor)
	_, _ = fmt.Fprintf(t, "\nreading %.1f MB, %.0f bytes a token\tMB per processor second\tours is × as fast\tbound\n", float64(r.Read.Bytes)/1e6, r.Read.PerToken)
	_, _ = fmt.Fprintf(t, "ours\t%s\t\t\n", r.Read.Ours.Text(0))
	_, _ = fmt.Fprintf(t, "encoding/json\t%s\t%s\t≥ %d\n", r.Read.Std.Text(0), r.Read.OfStd.Text(1), leastOfJSON)
	_, _ = fmt.Fprintf(t, "goccy/go-json\t%s\t%s\t\n", r.Read.Goccy.Text(0), r.Read.OfGoccy.Text(1))
	_, _ = fmt.Fprintf(t, "\nreplay\trollouts\ttokens\tGB read\tseconds\tprocessor seconds\tpeak memory, MB\tbound\n")
	_, _ = fmt.Fprintf(t, "ours\t%d\t%d\t%.1f\t%.1f\t%.1f\t%d\t≤ %d\n", r.Replay.Rollouts, r.Replay.Tokens, r.Replay.GB, r.Replay.Seconds, r.Replay.CPU, r.Replay.Peak/1e6, r.Replay.Most/1e6)
	if d := r.VLLM; d != nil {
		_, _ = fmt.Fprintf(t, "\na real vLLM: %d prompts, %d tokens each, %d at a time\ttokens/s\tprocessor seconds\n", d.Prompts, d.MaxTokens, d.Concurrency)
		_, _ = fmt.Fprintf(t, "ours\t%s\t%s\n", d.Ours.Rate.Text(0), d.Ours.CPU.Text(2))
		_, _ = fmt.Fprintf(t, "vllm bench serve\t%s\t%s\n", d.Theirs.Rate.Text(0), d.Theirs.CPU.Text(2))
		_, _ = fmt.Fprintf(t, "ours by theirs, of a pair\t%s, bound ≥ %d\t%s, bound ≤ %.2f\n", d.Rate.Text(3), leastOfVLLM, d.CPU.Text(4), mostOfVLLM)
	}
	return t.Flush()
}

// held tells which bars were not.
func (r report) held() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Read.OfStd.Median < leastOfJSON {
		bad("reading has %.1f times encoding/json's rate, less than %d", r.Read.OfStd.Median, leastOfJSON)
	}
	if r.Replay.Peak > r.Replay.Most {
		bad("the replay had %d MB resident, more than %d", r.Replay.Peak/1e6, r.Replay.Most/1e6)
	}
	if d := r.VLLM; d != nil {
		if d.Rate.Median < leastOfVLLM {
			bad("our client had %.3f times the tokens a second of vLLM's, less than %d", d.Rate.Median, leastOfVLLM)
		}
		if d.CPU.Median > mostOfVLLM {
			bad("our client took %.3f of the processor time of vLLM's, more than %.2f", d.CPU.Median, mostOfVLLM)
		}
	}
	return errors.Join(errs...)
}
