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

// What happens to servers is told as it happens.
func TestProgressOfServers(t *testing.T) {
	for format, want := range map[string]string{
		"text": `server http://a is fenced: nothing is asked of it until it is back and proved: connection refused
server http://a rejoined after 1m2s with weights version 7
server http://b is slow: a request has taken 1m30s, where others of its length take 20s; it goes on
`,
		"json": `{"level":"WARN","msg":"server fenced","server":"http://a","reason":"connection refused"}
{"level":"INFO","msg":"server rejoined","server":"http://a","weights_version":7,"out_s":62}
{"level":"WARN","msg":"straggler","server":"http://b","took_s":90,"usual_s":20}
`,
	} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			p := newProgress(&out, format, config.Config{Steps: 2}, nil)
			p.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerFenced, Reason: "connection refused"})
			p.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerRejoined, Version: 7, Seconds: 62})
			p.Server(journal.ServerEvent{Server: "http://b", Event: journal.ServerStraggles, Seconds: 90, Usual: 20, Requests: 1})
			got := regexp.MustCompile(`"time":"[^"]*",`).ReplaceAllString(out.String(), "")
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
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
