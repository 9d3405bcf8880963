package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

func preset(t *testing.T, name string) config.Config {
	t.Helper()
	c, err := config.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the seed, a run that learns raises no alarm: small ones that go from
// hardly any right answer to nearly all and stay there, ones of a few rows that
// are all noise, large ones of the paper's size.
func TestHealthyRunsRaiseNoAlarm(t *testing.T) {
	tiny, paper := preset(t, "tiny-cpu"), preset(t, config.DefaultPreset)
	few := tiny
	few.Sampling.Batch = 8
	slow := small(tiny, 400)
	slow.over, slow.last = 150, 0.9
	hopeless := large(paper, 200)
	hopeless.first, hopeless.last = 0.35, 0.36
	for _, tc := range []struct {
		name  string
		run   run
		seeds int
	}{
		{"demonstration, 30 steps", small(tiny, 30), 100},
		{"demonstration, 1,000 steps", small(tiny, 1000), 5},
		{"slower", slow, 10},
		{"8 rows a step", small(few, 600), 20},
		{"the paper's", large(paper, 1200), 2},
		{"that learns next to nothing", hopeless, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range tc.seeds {
				for _, e := range watched(tc.run.config, tc.run.records(uint64(seed), nil)) {
					t.Errorf("seed %d: %s at step %d: %s %v", seed, e.Signature, e.Step, e.Message, e.Evidence)
				}
			}
		})
	}
}

// Nor do runs that were recorded: the demonstration and the examples.
func TestRecordedRunsRaiseNoAlarm(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.steps.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recorded runs: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			all := recorded(t, path)
			for _, e := range watched(preset(t, "tiny-cpu"), all) {
				t.Errorf("%s at step %d: %s %v", e.Signature, e.Step, e.Message, e.Evidence)
			}
		})
	}
}

// recorded reads STEM.steps.jsonl and STEM.validation.jsonl, in the order in which they happened.
func recorded(t *testing.T, path string) (all []told) {
	t.Helper()
	var measured []journal.Validation
	stem := path[:len(path)-len(".steps.jsonl")]
	if _, err := os.Stat(stem + ".validation.jsonl"); err != nil {
		t.Fatal(err)
	}
	for v, err := range journal.Lines[journal.Validation](stem + ".validation.jsonl") {
		if err != nil {
			t.Fatal(err)
		}
		measured = append(measured, v)
	}
	upTo := func(done int) {
		for len(measured) > 0 && measured[0].Steps <= done {
			all = append(all, told{valid: &measured[0]})
			measured = measured[1:]
		}
	}
	n := 0
	for s, err := range journal.Lines[journal.Step](path) {
		if err != nil {
			t.Fatal(err)
		}
		upTo(s.Step)
		all = append(all, told{step: &s})
		n++
	}
	upTo(n)
	if n < 30 {
		t.Fatal(fmt.Errorf("%s has %d steps", path, n))
	}
	return all
}
