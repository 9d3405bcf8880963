package report

import (
	"encoding/json"
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

// write writes a file of a run directory.
func write(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// lines is a file of one JSON value a line.
func lines[T any](t testing.TB, values []T) []byte {
	t.Helper()
	var all []byte
	for _, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, b...), '\n')
	}
	return all
}

func indented(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func fixtureInfo() journal.Info {
	return journal.Info{
		ID: "5ca1ab1e", Version: "0.1.0", Go: "go1.26.0", Host: "host", CPUs: 2, Started: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Seed: 1, Model: "/models/arithmetic/policy", Servers: []string{"http://127.0.0.1:8000"},
	}
}

func fixtureConfig(t testing.TB, steps int) []byte {
	t.Helper()
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Model, c.Data, c.Out, c.Steps = "/models/arithmetic/policy", "/data/arithmetic/train.jsonl", "/runs/first", steps
	b, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixtureSteps are made up, but look like a run that learns. They are rounded,
// so that every machine writes the same.
func fixtureSteps(n int) []journal.Step {
	all := make([]journal.Step, n)
	for i := range all {
		progress := float64(i) / float64(max(1, n-1))
		wave := math.Round(100*math.Sin(float64(i)*2.4)) / 100
		right := math.Round(1000*(0.3+0.5*progress+0.04*wave)) / 1000
		passed := bridge.Report{Version: int64(i + 2), Passed: true, Changed: i > 0, Servers: []bridge.ServerReport{}}
		all[i] = journal.Step{
			Step: i, WeightsVersion: int64(i + 1), WeightsSHA256: fmt.Sprintf("%064x", i+1),
			ScoreMean: 2*right - 1, ScoreMax: 1, ScoreMin: -1, Correct: right, EqualRows: math.Round(100*(0.2+0.1*wave)) / 100,
			ResponseMean: math.Round(10*(17+20*progress+wave)) / 10, ResponseMin: 9, ResponseMax: 60 + int(10*wave), ResponseClip: 0, PromptMean: 33.5,
			UpdateMetrics: updater.UpdateMetrics{
				PGLoss: -0.4 + wave/100, PGClipFrac: math.Abs(wave) / 5000, PPOKL: wave / 8192, Entropy: math.Round(1000*(0.21-0.15*progress)) / 1000,
				GradNorm: 0.5 + wave/8, LR: 3e-5 * math.Min(1, float64(i)/3), Tokens: 4000 + 1000*i, Packs: 4,
			},
			Mismatch: updater.Mismatch{Tokens: 4000, KL: wave / (1 << 24), KLStdErr: 1.0 / (1 << 25), RatioP50: 1 + 1.0/(1<<22), RatioP99: 1 + 1.0/(1<<20), RatioMax: 1 + 1.0/(1<<16)},
			Canary:   passed, Updates: []updater.UpdateMetrics{},
			Sample: 1, Update: 1.25 + wave/4, Publish: 0.25, Load: 0.0625, Prove: 0.125, Total: 2.625 + wave/4, Tokens: 12000, Rate: math.Round(12000 / (2.625 + wave/4)),
		}
	}
	return all
}

// answers are those of a set of problems, right where the pattern has a +.
func answers(pattern string, text func(right bool, i int) string) []journal.Answer {
	var all []journal.Answer
	for i, c := range pattern {
		right := c == '+'
		body := text(right, i)
		all = append(all, journal.Answer{
			ProblemID: fmt.Sprintf("heldout-%04d", i), Question: fmt.Sprintf("Compute %d + %d.", 20+i, 31+2*i), GroundTruth: fmt.Sprint(51 + 3*i),
			Tokens: len(body) / 2, Text: body, FinishReason: "stop", Correct: right,
		})
	}
	return all
}

// fixture writes a small finished run with everything that a run can have.
func fixture(t testing.TB, dir string) {
	t.Helper()
	write(t, dir, "run.json", indented(t, fixtureInfo()))
	write(t, dir, "config.yaml", fixtureConfig(t, 6))
	write(t, dir, "steps.jsonl", lines(t, fixtureSteps(6)))
	write(t, dir, "validation.jsonl", lines(t, []journal.Validation{
		{Steps: 0, Accuracy: map[string]float64{"heldout": 0.25}, Sampled: map[string]float64{"heldout": 0.21}},
		{Steps: 3, Accuracy: map[string]float64{"heldout": 0.5}, Sampled: map[string]float64{"heldout": 0.46}},
		{Steps: 6, Accuracy: map[string]float64{"heldout": 0.75}, Sampled: map[string]float64{"heldout": 0.7}},
	}))
	write(t, dir, "summary.json", indented(t, journal.Summary{
		Steps: 6, Validation: map[string]journal.FirstAndLast{"heldout": {First: 0.25, Last: 0.75}}, RewardFirst: -0.4, RewardLast: 0.55,
		WallS: 85.4, Tokens: 41000, WeightsSHA256: fmt.Sprintf("%064x", 6), Model: "/runs/first/checkpoints/step-000006",
	}))
	short := func(right bool, i int) string {
		return fmt.Sprintf(`The answer is \boxed{%d}.`, 51+3*i+map[bool]int{true: 0, false: 10}[right])
	}
	long := func(right bool, i int) string {
		return fmt.Sprintf("Units: %d + %d = %d.\n\tTens:  %d + %d.\n%s", i, 1+2*i, 1+3*i, 2, 3, short(right, i))
	}
	write(t, dir, "eval/step-000000/heldout.jsonl", lines(t, answers("--+--+------", short)))
	write(t, dir, "eval/step-000006/heldout.jsonl", lines(t, answers("+++-++++-+-+", long)))
}
