package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// watch plays a run of two steps to an observer.
func watch(t *testing.T, format string) string {
	t.Helper()
	var out bytes.Buffer
	p := newProgress(&out, format, config.Config{Steps: 2}, nil)
	p.Phase(-1, "publish")
	p.Validated(-1, "held", 0.25, nil)
	p.Phase(0, "sample")
	p.Rollout(sampler.Row{Problem: sampler.Problem{ID: "q7"}}, sampler.Rollout{Sample: 3}, errors.New("no grader"))
	p.Phase(0, "update")
	s := journal.Step{ScoreMean: -0.5, Correct: 0.25, ResponseMean: 40.4, Rate: 1234.5, Total: 3.25}
	s.PGClipFrac, s.Entropy = 0.0125, 1.5
	p.StepDone(s, 2)
	p.Phase(1, "sample")
	s.Step = 1
	p.StepDone(s, 2)
	sampled := 0.375
	p.Validated(1, "held", 0.5, &sampled)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Where stderr is no terminal there are lines and nothing else, a step's accuracy after the step.
func TestProgressLines(t *testing.T) {
	got := regexp.MustCompile(`eta \S+`).ReplaceAllString(watch(t, "text"), "eta ?")
	want := `held before training: 25.0 % right
verifier failed on problem q7, sample 3: no grader
step 1/2  reward -0.500  correct  25.0 %  length 40  entropy 1.500  clipped 1.25 %  1234 tok/s  3.2 s  eta ?
step 2/2  reward -0.500  correct  25.0 %  length 40  entropy 1.500  clipped 1.25 %  1234 tok/s  3.2 s  eta ?
held after step 2: 50.0 % right (37.5 % sampled)
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestProgressJSON(t *testing.T) {
	var kinds []string
	for line := range bytes.Lines([]byte(watch(t, "json"))) {
		var event struct {
			Msg    string
			Step   int
			Reward float64
			ETA    *float64 `json:"eta_s"`

			Sampled *float64
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if event.Msg == "step" && (event.Reward != -0.5 || event.ETA == nil) {
			t.Errorf("a step's event: %s", line)
		}
		if event.Msg == "validation" && (event.Sampled != nil) != (event.Step == 1) {
			t.Errorf("a validation's event: %s", line)
		}
		kinds = append(kinds, event.Msg)
	}
	if d := cmp.Diff([]string{"validation", "verifier failed", "step", "step", "validation"}, kinds); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A step with dynamic sampling says how much of what it drew taught nothing.
func TestProgressOfADynamicStep(t *testing.T) {
	s := journal.Step{Drawn: &journal.Drawn{Batches: 2, Groups: 64, EqualGroups: 21}}
	for format, want := range map[string]string{
		"text": "clipped 0.00 %  21 of 64 rows equal  0 tok/s",
		"json": `"groups_drawn":64,"groups_equal":21`,
	} {
		var out bytes.Buffer
		p := newProgress(&out, format, config.Config{Steps: 2}, nil)
		p.Phase(0, "sample")
		p.Phase(0, "sample") // its second batch
		p.StepDone(s, 2)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q does not say %q", format, out.String(), want)
		}
	}
}

// The last words of a run.
func TestPrintSummary(t *testing.T) {
	var out bytes.Buffer
	err := printSummary(&out, journal.Summary{
		Steps: 3, WallS: 61, RewardFirst: -1, RewardLast: 0.5, Model: "/m", WeightsSHA256: "0123456789abcdef",
		Validation: map[string]journal.FirstAndLast{"b": {First: 0.25, Last: 1}, "a": {}},
		Sampled:    map[string]journal.FirstAndLast{"b": {First: 0.125, Last: 0.75}},
	}, "/r")
	if err != nil {
		t.Fatal(err)
	}
	want := `3 steps in 1m1s: reward -1.000 → +0.500
a: 0.0 % → 0.0 % right
b: 25.0 % → 100.0 % right (12.5 % → 75.0 % sampled)
weights /m (sha256 0123456789ab…)
run /r
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// An event is one line, whatever it says.
func TestProgressOfAnEvent(t *testing.T) {
	e := journal.Event{Step: 11, Signature: "reward_drop", Action: "warn", Message: "it fell", Evidence: map[string]float64{"drop": 0.5, "best": 1}}
	for format, want := range map[string]string{
		"text": "warn reward_drop after step 12: it fell\n",
		"json": `"msg":"event","step":11,"signature":"reward_drop","action":"warn","message":"it fell","evidence":{"best":1,"drop":0.5}}` + "\n",
	} {
		var out bytes.Buffer
		p := newProgress(&out, format, config.Config{Steps: 20}, nil)
		p.Event(e)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%s: %q, want %q", format, out.String(), want)
		}
	}
}
