package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// watch plays a run of two steps to an observer, whose clock goes on by itself.
func watch(t *testing.T, format string) string {
	t.Helper()
	var out bytes.Buffer
	p := newProgress(&out, format, config.Config{Steps: 2}, nil)
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p.now = func() time.Time {
		clock = clock.Add(500 * time.Millisecond)
		return clock
	}
	p.Listening("http://127.0.0.1:8501")
	p.Phase(-1, "publish")
	p.Validated(-1, "held", 0.25, nil)
	p.Phase(0, "sample")
	p.Rollout(sampler.Row{Problem: sampler.Problem{ID: "q7"}}, sampler.Rollout{Sample: 3}, errors.New("no grader"))
	p.Retrying(errors.New("503"), 2*time.Second)
	p.Retrying(errors.New("503 again"), 2*time.Second)
	p.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerFenced, Reason: "it went away"})
	p.StillOut("http://a", errors.New("connection refused"))
	p.Server(journal.ServerEvent{Server: "http://a", Event: journal.ServerRejoined, Version: 3, Seconds: 12.5})
	p.Phase(0, "update")
	s := journal.Step{ScoreMean: -0.5, Correct: 0.25, ResponseMean: 40.4, Rate: 1234.5, Total: 3.25}
	s.PGClipFrac, s.Entropy = 0.0125, 1.5
	p.StepDone(s, 2)
	p.Phase(1, "sample")
	s.Step, s.Drawn, s.Unscored = 1, &journal.Drawn{Batches: 2, Groups: 64, EqualGroups: 21}, &journal.Unscored{Errors: 1}
	p.StepDone(s, 2)
	sampled := 0.375
	p.Validated(1, "held", 0.5, &sampled)
	p.Notice("the disk is nearly full: %d MB", 3)
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
	got := watch(t, "text")
	golden(t, "progress-text", got)
	if i := strings.IndexFunc(got, func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
		t.Errorf("%q has a control character", got[i:])
	}
}

// With --log json each line is an object of slog's, and says what the text says.
func TestProgressJSON(t *testing.T) {
	got := watch(t, "json")
	for line := range strings.Lines(got) {
		var event struct {
			Time       time.Time
			Level, Msg string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Time.IsZero() || event.Level == "" || event.Msg == "" {
			t.Errorf("%v in %s", err, line)
		}
	}
	golden(t, "progress-json", regexp.MustCompile(`"time":"[^"]*"`).ReplaceAllString(got, `"time":"T"`))
}

// Every error that a run ends with is one object, too, whatever is wrong with the command line.
func TestLastErrorAsJSON(t *testing.T) {
	for _, c := range []struct {
		name, env string
		args      []string
		json      bool
	}{
		{"a flag", "", []string{"run", "--log", "json"}, true},
		{"a flag with a sign", "", []string{"run", "--log=json", "--preset", "none"}, true},
		{"one dash", "", []string{"run", "-log", "json"}, true},
		{"the environment", "json", []string{"run"}, true},
		{"the flag over the environment", "json", []string{"run", "--log", "text"}, false},
		{"with a flag that there is not", "", []string{"run", "--sever", "x", "--log", "json"}, true},
		{"another command", "json", []string{"grade", "--in", "a"}, false},
		{"text", "", []string{"run"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("JUSTRL_LOG", c.env)
			code, _, stderr := run(t, c.args...)
			if code != ExitUsage {
				t.Fatalf("exit code %d", code)
			}
			var event struct {
				Level, Msg, Err string
				Code            int `json:"exit_code"`
			}
			err := json.Unmarshal([]byte(stderr), &event)
			if c.json != (err == nil) || c.json && (strings.Count(stderr, "\n") != 1 || event.Level != "ERROR" || event.Msg != "bad usage" || event.Err == "" || event.Code != ExitUsage) {
				t.Errorf("%v: %s", err, stderr)
			}
		})
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
