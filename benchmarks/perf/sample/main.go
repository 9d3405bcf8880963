// Command sample measures what sampling costs the client, as ratios of one run:
//
//   - read: the same answer of a vLLM, eight rollouts of 15,360 tokens with ids
//     and log-probs, read by our client and by encoding/json into the same
//     fields, in turns; by processor time, the collector's included;
//   - replay: a server that answers 256 requests at once so, and the memory of a
//     process that keeps all 2,048 rollouts;
//   - vllm: a real vLLM, asked the same prompts for as many tokens by our client
//     and by vLLM's own benchmark client, in turns: tokens a second, and the
//     processor time of the client's whole process, with its start and without.
//     What our client costs when it streams, as vLLM's has to, is beside it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
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
	checks             string
	// of the real server; none, and there is no such contest
	server      string
	serverPID   int
	python      string
	model       string
	data        string
	prompts     int
	maxTokens   int
	concurrency int
}

type report struct {
	Machine measure.Machine `json:"machine"`
	Read    *reading        `json:"read,omitempty"`
	Replay  *replay         `json:"replay,omitempty"`
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
	f.IntVar(&o.serverPID, "server-pid", 0, "the `PID` of its first process, for what a token costs it (default: unknown)")
	f.StringVar(&o.python, "python", "", "`PYTHON` that has that vLLM's own client")
	f.StringVar(&o.model, "model", "", "`DIR` of the model that it serves")
	f.StringVar(&o.data, "data", "", "`FILE` of problems, whose questions are the prompts")
	f.IntVar(&o.prompts, "prompts", 96, "requests of a turn")
	f.IntVar(&o.maxTokens, "max-tokens", 128, "tokens of each answer")
	f.IntVar(&o.concurrency, "concurrency", 32, "requests at a time")
	f.StringVar(&o.checks, "checks", "", "`LIST` of read, replay, vllm (default: all that there is a server for)")
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
	wanted, err := o.wanted()
	if err != nil {
		return err
	}
	r := report{Machine: measure.ThisMachine()}
	if wanted["read"] {
		if r.Read, err = o.read(ctx, stderr); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	if wanted["replay"] {
		if r.Replay, err = o.replay(ctx, stderr); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	if wanted["vllm"] {
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

// wanted are the contests to hold.
func (o options) wanted() (map[string]bool, error) {
	wanted := map[string]bool{"read": o.checks == "", "replay": o.checks == "", "vllm": o.checks == "" && o.server != ""}
	for _, name := range strings.FieldsFunc(o.checks, func(r rune) bool { return r == ',' || r == ' ' }) {
		if _, ok := wanted[name]; !ok {
			return nil, fmt.Errorf("--checks has %q, which is none of read, replay, vllm", name)
		}
		wanted[name] = true
	}
	if wanted["vllm"] && o.server == "" {
		return nil, errors.New("--checks vllm needs --server")
	}
	return wanted, nil
}

func (r report) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%d cores (%s); medians, with the lowest and the highest\n", r.Machine.Cores, r.Machine.Processor)
	if read := r.Read; read != nil {
		_, _ = fmt.Fprintf(t, "\nreading %.1f MB, %.0f bytes a token\tMB per processor second\tours is × as fast\tbound\n", float64(read.Bytes)/1e6, read.PerToken)
		_, _ = fmt.Fprintf(t, "ours\t%s\t\t\n", read.Ours.Text(0))
		_, _ = fmt.Fprintf(t, "encoding/json\t%s\t%s\t≥ %d\n", read.Std.Text(0), read.OfStd.Text(1), leastOfJSON)
		_, _ = fmt.Fprintf(t, "goccy/go-json\t%s\t%s\t\n", read.Goccy.Text(0), read.OfGoccy.Text(1))
	}
	if p := r.Replay; p != nil {
		_, _ = fmt.Fprintf(t, "\nreplay\trollouts\ttokens\tGB read\tseconds\tprocessor seconds\tpeak memory, MB\tbound\n")
		_, _ = fmt.Fprintf(t, "ours\t%d\t%d\t%.1f\t%.1f\t%.1f\t%d\t≤ %d\n", p.Rollouts, p.Tokens, p.GB, p.Seconds, p.CPU, p.Peak/1e6, p.Most/1e6)
	}
	if d := r.VLLM; d != nil {
		_, _ = fmt.Fprintf(t, "\na real vLLM: %d prompts, %d tokens each, %d at a time\ttokens/s\tprocessor seconds\twithout its start\n", d.Prompts, d.MaxTokens, d.Concurrency)
		row := func(name string, s side) {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, s.Rate.Text(0), s.CPU.Text(2), s.Asking.Text(2))
		}
		row("ours", d.Ours)
		row("ours, streamed", d.Streamed)
		row("vllm bench serve", d.Theirs)
		_, _ = fmt.Fprintf(t, "ours by theirs, of a turn\t%s, bound ≥ %d\t%s, bound ≤ %.2f\t%s\n", d.Rate.Text(3), leastOfVLLM, d.CPU.Text(4), mostOfVLLM, d.Asking.Text(4))
		_, _ = fmt.Fprintf(t, "ours, streamed, by theirs\t%s\t\t%s\n", d.Stream.Text(3), d.StreamOf.Text(4))
		if d.Server != nil {
			_, _ = fmt.Fprintf(t, "tokens by processor second of the server, ours by theirs\t%s\tstreamed\t%s\n", d.Server.Text(3), d.ServerStream.Text(3))
		}
	}
	return t.Flush()
}

// held tells which bars were not.
func (r report) held() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Read != nil && r.Read.OfStd.Median < leastOfJSON {
		bad("reading has %.1f times encoding/json's rate, less than %d", r.Read.OfStd.Median, leastOfJSON)
	}
	if r.Replay != nil && r.Replay.Peak > r.Replay.Most {
		bad("the replay had %d MB resident, more than %d", r.Replay.Peak/1e6, r.Replay.Most/1e6)
	}
	if d := r.VLLM; d != nil {
		if d.Rate.Median < leastOfVLLM {
			bad("our client had %.3f times the tokens a second of vLLM's, less than %d", d.Rate.Median, leastOfVLLM)
		}
		if most := max(d.CPU.Median, d.Asking.Median); most > mostOfVLLM { // with its start, and without
			bad("our client took %.3f of the processor time of vLLM's, more than %.2f", most, mostOfVLLM)
		}
	}
	return errors.Join(errs...)
}
