package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

func TestSummarize(t *testing.T) {
	contests := []contest{
		{name: "a", measured: true, turns: []turn{
			{Tokens: 100, Seconds: 1, CPU: 2, Foreign: 6.5},
			{Tokens: 100, Seconds: 2, CPU: 4, Idle: 0.5, Others: 5},
			{Tokens: 100, Seconds: 4, CPU: 6, Idle: 0.5, Others: 5},
		}},
		{name: "b", turns: []turn{{Tokens: 50, Seconds: 1}, {Tokens: 75, Seconds: 1}, {Tokens: 80, Seconds: 4}}},
	}
	m := summarize(true, contests, []bar{{A: "a", B: "b", Want: 1.25}, {A: "b", B: "a", Want: 1.25}})
	a, b := m.Results[0], m.Results[1]
	// The median of the ratios, 0.5, 1.5 and 0.8; the ratio of the medians is another, 1.
	if want := (measure.Spread{Median: 0.8, Min: 0.5, Max: 1.5}); b.Ratio != want {
		t.Errorf("b's ratio to a is %v, want %v", b.Ratio, want)
	}
	if want := (measure.Spread{Median: 50, Min: 25, Max: 100}); a.TokensPerSecond != want {
		t.Errorf("a's rate is %v, want %v", a.TokensPerSecond, want)
	}
	if a.Tokens != 300 || b.Tokens != 205 {
		t.Errorf("%d and %d tokens, want 300 and 205", a.Tokens, b.Tokens)
	}
	if *a.Cores != 12.0/7 || *a.IdleCores != 0.1 || b.Cores != nil || b.IdleCores != nil {
		t.Errorf("cores: %v", m.Results)
	}
	if !m.Bars[0].Met || m.Bars[0].Got.Median != 1.25 || m.Bars[1].Met {
		t.Errorf("bars: %+v", m.Bars)
	}

	var out strings.Builder
	if err := (report{Model: "m", Modes: []mode{m}}).write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"log-probs on, median of 3 rounds", "50 (25–100)", "0.80 (0.50–1.50)",
		"a ≥ 1.25 × b: 1.25 (0.67–2.00), met", "b ≥ 1.25 × a: 0.80 (0.50–1.50), MISSED",
		"others took 0.50 cores during the turns", // 6.5 s in 7 s of a's turns and 6 s of b's
		"a takes 0.10 cores in the others' turns",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}

func TestParseFlags(t *testing.T) {
	ok := []string{"--model", "m", "--data", "d", "--server", "a=http://x:1,77", "--server", "b=http://x:2", "--transformers", "py", "--bar", "a/transformers=3"}
	o, err := parse(ok, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []address{{"a", "http://x:1", 77}, {"b", "http://x:2", 0}}; !reflect.DeepEqual(o.servers, want) {
		t.Errorf("servers %v, want %v", o.servers, want)
	}
	if want := []bar{{A: "a", B: transformersName, Want: 3}}; !reflect.DeepEqual(o.bars, want) {
		t.Errorf("bars %v, want %v", o.bars, want)
	}
	for _, tc := range []struct{ name, args, want string }{
		{"nothing to measure", "--model m --data d", "no contender"},
		{"no model", "--server a=http://x:1", "--model and --data"},
		{"a name twice", "--model m --data d --server a=u --server a=v", `named "a"`},
		{"a server of a reserved name", "--server transformers=u", "NAME=URL"},
		{"no URL", "--server a=", "NAME=URL"},
		{"a process that is none", "--server a=u,x", "process id"},
		{"a bar of a stranger", "--model m --data d --server a=u --bar a/c=1", "a/c: the contenders are a"},
		{"a bar of nothing", "--bar a/b=0", "A/B=RATIO"},
		{"no rounds", "--model m --data d --server a=u --rounds 0", "--rounds must be at least 1"},
		{"unknown log-probs", "--model m --data d --server a=u --logprobs maybe", "on, off or both"},
		{"a stray word", "--model m --data d --server a=u x", `argument "x"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := parse(strings.Fields(tc.args), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
