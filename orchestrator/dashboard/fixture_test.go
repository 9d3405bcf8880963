package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

// A run directory that looks like one of a run that learns; nothing in it was run.

func fixtureInfo() journal.Info {
	return journal.Info{
		ID: "5ca1ab1e", Version: "0.1.0", Go: "go1.26.0", Host: "gpu-host", CPUs: 16, Started: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Seed: 1, Model: "/models/examples/arithmetic", Servers: []string{"http://10.0.0.7:8000", "http://10.0.0.8:8000"},
	}
}

func fixtureStep(i, planned int) journal.Step {
	progress := 1 - math.Exp(-3*float64(i)/float64(planned))
	wave := math.Sin(float64(i)*2.4)/2 + math.Sin(float64(i)*0.37)/2
	right := 0.3 + 0.6*progress + 0.04*wave
	return journal.Step{
		Step: i, WeightsVersion: int64(i + 1), WeightsSHA256: fmt.Sprintf("%064x", i+1),
		ScoreMean: 2*right - 1, ScoreMax: 1, ScoreMin: -1, Correct: right, EqualRows: 0.2 + 0.3*progress + 0.05*wave,
		ResponseMean: 3000 + 2500*progress + 150*wave, ResponseMin: 210, ResponseMax: 15360, ResponseClip: 0.02 + 0.01*wave, PromptMean: 133.5,
		UpdateMetrics: updater.UpdateMetrics{
			PGLoss: -0.04 + wave/100, PGClipFrac: math.Abs(wave) / 500, PPOKL: wave / 8192, Entropy: 1.1 - 0.6*progress + 0.02*wave,
			GradNorm: 0.3 + wave/12, LR: 1e-6 * math.Min(1, float64(i)/10), Tokens: 9_000_000, Packs: 40,
		},
		Mismatch: updater.Mismatch{Tokens: 4000, KL: 1e-5 * (1 + wave/4), KLStdErr: 2e-6, RatioP50: 1 + 1e-3, RatioP99: 1 + 0.03 + wave/100, RatioMax: 1.6 + wave/4},
		Canary:   bridge.Report{Version: int64(i + 2), Passed: true, Changed: i > 0, Servers: []bridge.ServerReport{}}, Updates: []updater.UpdateMetrics{},
		Sample: 190 + 20*wave, Update: 80 + 5*wave, Publish: 9, Load: 4, Prove: 2, Total: 285 + 25*wave, Tokens: 9_500_000, Rate: 33000 + 2000*wave,
	}
}

// appendLines adds values to a file of a run directory.
func appendLines[T any](t testing.TB, path string, values ...T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		b, err := json.Marshal(v)
		if err == nil {
			_, err = f.Write(append(b, '\n'))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func appendSteps(t testing.TB, dir string, from, to, planned int) {
	t.Helper()
	var all []journal.Step
	for i := from; i < to; i++ {
		all = append(all, fixtureStep(i, planned))
	}
	appendLines(t, journal.StepsPath(dir), all...)
}

// hostile is an answer that would do something if it were HTML.
const hostile = `<script>document.title='taken'</script><img src=x onerror="document.title='taken'"> so \boxed{<b>41</b>}`

// fixture writes a run that has done some of its planned steps.
func fixture(t testing.TB, dir string, steps, planned int) {
	t.Helper()
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Model, c.Data, c.Out, c.Steps = fixtureInfo().Model, "/data/dapo-math-17k.parquet", dir, planned
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(fixtureInfo())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"run.json": info, "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	appendSteps(t, dir, 0, steps, planned)
	for done := 0; done <= steps; done += max(1, planned/20) {
		at := 1 - math.Exp(-3*float64(done)/float64(planned))
		appendLines(t, journal.ValidationsPath(dir), journal.Validation{Steps: done, Accuracy: map[string]float64{"AIME24": 0.28 + 0.22*at, "AMC23": 0.6 + 0.28*at}})
	}
	appendLines(t, journal.EventsPath(dir),
		journal.Event{Time: time.Date(2026, 11, 25, 3, 4, 5, 0, time.UTC), Step: steps / 2, Signature: "gradient_spike", Action: "warn", Message: "an update's gradient norm is 4.1, 6 times the largest before", Evidence: map[string]float64{"norm": 4.1, "before": 0.68}},
		journal.Event{Time: time.Date(2026, 11, 25, 9, 4, 5, 0, time.UTC), Step: steps - 2, Signature: "reward_drop", Action: "pause", Message: hostile, Evidence: map[string]float64{"drop": 0.2}})
	answers := func(step int) {
		var all []journal.Rollout
		for i, text := range []string{"Half of 84 is 42.\nSo the answer is \\boxed{42}.", hostile, "It must be \\boxed{7}.", "Units: 2 + 9 = 11, tens: 3 + 1 = 4.\n\\boxed{51}"} {
			all = append(all, journal.Rollout{
				Group: int64(i), ProblemID: fmt.Sprintf("dapo-%05d", 17*i), PromptTokenIDs: []int32{1}, TokenIDs: []int32{1, 2}, Text: text, FinishReason: "stop",
				Reward: float64(1 - 2*(i%2)), Correct: i%2 == 0, WeightsVersion: int64(step + 1),
			})
		}
		d, _, err := journal.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.WriteRollouts(step, all), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for step := max(0, steps-3); step < steps; step++ {
		answers(step)
	}
	for _, done := range []int{0, steps} {
		var all []journal.Answer
		for i, text := range []string{"\\boxed{1}", hostile} {
			all = append(all, journal.Answer{ProblemID: fmt.Sprintf("aime-%d", i), Question: "What is 40 + 1?", GroundTruth: "41", Text: text, FinishReason: "stop", Tokens: 12, Correct: done > 0 && i == 1})
		}
		appendLines(t, journal.AnswersPath(dir, done, "AIME24"), all...)
	}
}

// members are two servers, of which one is out.
func members() []Member {
	at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	return []Member{
		{Name: "http://10.0.0.7:8000", Since: at, InFlight: 512, Limit: 1024, Version: 214, Samples: 9000, Tokens: 41_000_000},
		{Name: "http://10.0.0.8:8000", Fenced: true, Why: `it answered 500: <b>CUDA error</b>: an illegal memory access was encountered`, Since: at, Limit: 1024, Version: 213, Samples: 7000, Tokens: 30_000_000},
	}
}

// looked is a page of a fixture, and its server.
func looked(dir string, recorded, planned int, token string) (*Page, *Server) {
	o := Options{Dir: dir, Info: fixtureInfo(), Planned: planned, Sizes: map[string]int64{"sample": 2048}, Servers: members}
	for i := range recorded {
		o.Recorded = append(o.Recorded, fixtureStep(i, planned))
	}
	p, s := NewPage(o), New(token)
	p.On(s)
	return p, s
}
