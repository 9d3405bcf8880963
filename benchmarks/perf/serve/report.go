package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// report is all that was measured.
type report struct {
	Date       string          `json:"date"`
	Machine    measure.Machine `json:"machine"`
	Model      string          `json:"model"`
	Parameters int64           `json:"parameters"`
	Prompts    int             `json:"prompts"`
	N          int             `json:"n"`
	MaxTokens  int             `json:"max_tokens"`
	Warmup     int             `json:"warmup_rounds"`
	Modes      []mode          `json:"modes"`
}

// mode is the rounds with log-probs, or those without.
type mode struct {
	Logprobs bool     `json:"logprobs"`
	Results  []result `json:"results"`
	// ForeignCores is the processors that the rest of the machine kept busy
	// during the turns: under such a load threads that wait for one another
	// suffer most, and ratios say little.
	ForeignCores float64 `json:"foreign_cores"`
	Bars         []bar   `json:"bars"`
}

// result is one contender's.
type result struct {
	Name            string         `json:"name"`
	TokensPerSecond measure.Spread `json:"tokens_per_s"`
	// Ratio is to the first contender: of each round, then their median.
	Ratio  measure.Spread `json:"ratio_to_first"`
	Tokens int            `json:"tokens"` // of all measured rounds
	// Cores is the processors it kept busy in its turns, IdleCores while it was
	// not its turn; nil if its process is not known.
	Cores     *float64 `json:"cores"`
	IdleCores *float64 `json:"idle_cores"`
	Turns     []turn   `json:"rounds"`
}

// bar is a promise: A at least Want times as fast as B.
type bar struct {
	A    string         `json:"a"`
	B    string         `json:"b"`
	Want float64        `json:"want"`
	Got  measure.Spread `json:"got"`
	Met  bool           `json:"met"` // the median is at least Want
}

func parseAddress(s string) (address, error) {
	name, rest, ok := strings.Cut(s, "=")
	url, pid, hasPID := strings.Cut(rest, ",")
	a := address{name: name, url: url}
	if !ok || name == "" || url == "" || name == transformersName {
		return a, errors.New("write it as NAME=URL or NAME=URL,PID")
	}
	if hasPID {
		var err error
		if a.pid, err = strconv.Atoi(pid); err != nil || a.pid < 1 {
			return a, fmt.Errorf("%q is not a process id", pid)
		}
	}
	return a, nil
}

func parseBar(s string) (bar, error) {
	names, want, ok := strings.Cut(s, "=")
	a, b, ok2 := strings.Cut(names, "/")
	x, err := strconv.ParseFloat(want, 64)
	if !ok || !ok2 || err != nil || !(x > 0) {
		return bar{}, errors.New("write it as A/B=RATIO, such as embedded/vllm=1")
	}
	return bar{A: a, B: b, Want: x}, nil
}

// summarize makes the results of a mode; there is at least one contest, all
// have the same number of turns, at least one.
func summarize(logprobs bool, contests []contest, bars []bar) mode {
	m := mode{Logprobs: logprobs}
	byName := map[string]contest{}
	var foreign, seconds float64
	for _, c := range contests {
		byName[c.name] = c
		r := result{Name: c.name, Turns: c.turns, Ratio: ratios(c, contests[0])}
		var rates []float64
		var cpu, busy, idle, others float64
		for _, t := range c.turns {
			rates = append(rates, t.rate())
			r.Tokens += t.Tokens
			foreign, seconds = foreign+t.Foreign, seconds+t.Seconds
			cpu, busy, idle, others = cpu+t.CPU, busy+t.Seconds, idle+t.Idle, others+t.Others
		}
		r.TokensPerSecond = measure.SpreadOf(rates)
		if c.measured {
			cores := cpu / busy
			r.Cores = &cores
			if others > 0 {
				idle /= others
				r.IdleCores = &idle
			}
		}
		m.Results = append(m.Results, r)
	}
	m.ForeignCores = foreign / seconds
	for _, b := range bars {
		b.Got = ratios(byName[b.A], byName[b.B])
		b.Met = b.Got.Median >= b.Want
		m.Bars = append(m.Bars, b)
	}
	return m
}

// ratios is how many times as fast as b a was, round by round.
func ratios(a, b contest) measure.Spread {
	var all []float64
	for i := range a.turns {
		all = append(all, a.turns[i].rate()/b.turns[i].rate())
	}
	return measure.SpreadOf(all)
}

// write prints the tables.
func (r report) write(out io.Writer) error {
	fmt.Fprintf(out, "%s, %.1f M parameters, float32; %d prompts × %d samples of at most %d tokens, temperature 1\n",
		r.Model, float64(r.Parameters)/1e6, r.Prompts, r.N, r.MaxTokens)
	fmt.Fprintf(out, "%d cores, %s, %s; %s\n", r.Machine.Cores, r.Machine.Processor, r.Machine.System, r.Date)
	for _, m := range r.Modes {
		first := m.Results[0].Name
		fmt.Fprintf(out, "\nlog-probs %s, median of %d rounds (lowest to highest) after %d to warm up, in turns\n", onOff(m.Logprobs), len(m.Results[0].Turns), r.Warmup)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "  \ttokens/s\t× %s\ttokens\tcores busy\tcores idle\n", first)
		for _, x := range m.Results {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\t%s\n", x.Name, x.TokensPerSecond.Text(0), x.Ratio.Text(2), x.Tokens, maybe(x.Cores), maybe(x.IdleCores))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, b := range m.Bars {
			verdict := "MISSED"
			if b.Met {
				verdict = "met"
			}
			fmt.Fprintf(out, "  %s ≥ %g × %s: %s, %s\n", b.A, b.Want, b.B, b.Got.Text(2), verdict)
		}
		if m.ForeignCores > mayTake {
			fmt.Fprintf(out, "  NOT A QUIET MACHINE: others took %.2f cores during the turns; measure again\n", m.ForeignCores)
		}
		for _, x := range m.Results {
			if x.IdleCores != nil && *x.IdleCores > mayIdle {
				fmt.Fprintf(out, "  %s takes %.2f cores in the others' turns: the ratios favour it\n", x.Name, *x.IdleCores)
			}
		}
	}
	return nil
}

// mayTake is the cores that the rest of the machine may take before the report says so.
const mayTake = 0.1

// mayIdle is the cores that a contender may take in the others' turns before the report says so.
const mayIdle = 0.05

func maybe(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", *x)
}
