package metrics

import (
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/orchestrator/journal"
)

// lived is the metrics of a run that was resumed after two steps and is in its
// third, with two servers, one of which is out. now is the clock that it reads.
func lived() (m *Metrics, now *time.Time) {
	now = new(time.Time)
	*now = time.Unix(1000, 0)
	servers := func() []Server {
		return []Server{{Name: "http://a", Tokens: 512, InFlight: 3, Version: 4}, {Name: "http://b", Fenced: true, Version: 3}}
	}
	step := func(i int) journal.Step {
		s := journal.Step{Step: i, ScoreMean: -0.5, Correct: 0.25, ResponseMean: 40, Tokens: 100, Sample: 1, Update: 2, Publish: 0.5, Total: 4, Rate: 25, Ended: time.Unix(900+int64(i), 0)}
		s.Entropy = 1.5
		return s
	}
	held := []journal.Validation{{Accuracy: map[string]float64{"held": 0.125}}, {Steps: 2, Accuracy: map[string]float64{"held": 0.5}, Sampled: map[string]float64{"held": 0.375}}}
	m = New(Options{Run: "r1", Model: "/m", Preset: "tiny-cpu", Version: "0.1", Steps: 9, Servers: servers, Now: func() time.Time { return *now }}, []journal.Step{step(0), step(1)}, held,
		[]journal.Event{{Signature: "looping", Action: "pause"}})
	m.Phase(1, "publish")
	*now = now.Add(3 * time.Second)
	m.Phase(2, "sample")
	m.Rollout(30, nil)
	m.Rollout(10, errors.New("no grader"))
	m.ServerEvent(journal.ServerEvent{Event: journal.ServerFenced})
	m.Event(journal.Event{Signature: "reward_drop", Action: "warn"})
	last := step(2)
	last.ScoreMean = 0.75
	last.Overlong = &journal.Overlong{OverlongShare: 0.5}
	m.StepDone(last, 9)
	*now = now.Add(2 * time.Second)
	m.Phase(2, "validate")
	sampled := 0.25
	m.Validated(2, "held", 0.625, &sampled)
	return m, now
}

// What Prometheus reads of it, but for the Go runtime's and the process' own.
func TestMetrics(t *testing.T) {
	m, _ := lived()
	const want = `
justrl_correct_ratio 0.25
justrl_entropy_nats 1.5
justrl_events_total{action="pause",signature="looping"} 1
justrl_events_total{action="warn",signature="reward_drop"} 1
justrl_phase_seconds_total{phase="checkpoint"} 0
justrl_phase_seconds_total{phase="paused"} 0
justrl_phase_seconds_total{phase="publish"} 3
justrl_phase_seconds_total{phase="sample"} 2
justrl_phase_seconds_total{phase="update"} 0
justrl_phase_seconds_total{phase="validate"} 0
justrl_phase_start_timestamp_seconds 1005
justrl_phase{phase="checkpoint"} 0
justrl_phase{phase="paused"} 0
justrl_phase{phase="publish"} 0
justrl_phase{phase="sample"} 0
justrl_phase{phase="update"} 0
justrl_phase{phase="validate"} 1
justrl_response_clipped_ratio 0
justrl_response_tokens_mean 40
justrl_reward_mean 0.75
justrl_rollout_tokens_total 40
justrl_rollouts_total 2
justrl_run_info{model="/m",preset="tiny-cpu",run="r1",version="0.1"} 1
justrl_server_admitted{server="http://a"} 1
justrl_server_admitted{server="http://b"} 0
justrl_server_events_total{event="fenced"} 1
justrl_server_events_total{event="rejoined"} 0
justrl_server_samples_in_flight{server="http://a"} 3
justrl_server_samples_in_flight{server="http://b"} 0
justrl_server_tokens_total{server="http://a"} 512
justrl_server_tokens_total{server="http://b"} 0
justrl_server_weights_version{server="http://a"} 4
justrl_server_weights_version{server="http://b"} 3
justrl_servers{state="admitted"} 1
justrl_servers{state="fenced"} 1
justrl_step 2
justrl_step_end_timestamp_seconds 902
justrl_step_metric{name="critic/score/mean"} 0.75
justrl_step_metric{name="reward/overlong"} 0.5
justrl_step_seconds{phase="publish"} 0.5
justrl_step_seconds{phase="sample"} 1
justrl_step_seconds{phase="total"} 4
justrl_step_seconds{phase="update"} 2
justrl_steps_planned 9
justrl_steps_total 3
justrl_tokens_per_second 25
justrl_tokens_total 300
justrl_validation_accuracy_ratio{sampling="training",set="held"} 0.25
justrl_validation_accuracy_ratio{sampling="validation",set="held"} 0.625
justrl_verifier_errors_total 1
`
	if d := cmp.Diff(strings.TrimSpace(want), strings.Join(ask(t, m), "\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// ask is the samples that Prometheus gets of ours; of a step's figures by name two.
func ask(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d: %v", w.Code, err)
	}
	var ours []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "justrl_step_metric") && !strings.Contains(line, "score/mean") && !strings.Contains(line, `"reward/overlong"`) || !strings.HasPrefix(line, "justrl_") {
			continue
		}
		ours = append(ours, line)
	}
	slices.Sort(ours)
	return ours
}

// A step's figures are the newest step's alone.
func TestFiguresOfTheNewestStep(t *testing.T) {
	m, _ := lived()
	m.StepDone(journal.Step{Step: 3}, 9)
	if got := strings.Join(ask(t, m), "\n"); strings.Contains(got, "reward/overlong") || !strings.Contains(got, "justrl_step 3") {
		t.Errorf("step 3 had no penalty:\n%s", got)
	}
}

// Names and texts are as promtool wants them.
func TestLint(t *testing.T) {
	m, _ := lived()
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// docs/metrics.md has every name, and no other.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, name := range regexp.MustCompile("(?m)^\\| `(justrl_[a-z_]+)").FindAllStringSubmatch(string(b), -1) {
		written[name[1]] = true
	}
	m, _ := lived()
	for _, line := range ask(t, m) {
		name := regexp.MustCompile(`^[a-z_]+`).FindString(line)
		if !written[name] {
			t.Errorf("docs/metrics.md does not have %s", name)
			written[name] = true
		}
	}
	there := map[string]bool{}
	for _, line := range ask(t, m) {
		there[regexp.MustCompile(`^[a-z_]+`).FindString(line)] = true
	}
	for name := range written {
		if !there[name] {
			t.Errorf("docs/metrics.md has %s, which there is not", name)
		}
	}
}

// Prometheus asks while the run tells.
func TestConcurrently(t *testing.T) {
	m, _ := lived()
	var all errgroup.Group
	all.Go(func() error {
		for i := range 200 {
			m.Rollout(1, nil)
			m.StepDone(journal.Step{Step: i}, 9)
		}
		return nil
	})
	for range 20 {
		ask(t, m)
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}
