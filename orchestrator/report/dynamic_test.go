package report

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// drawnSteps are fixtureSteps of a run with dynamic sampling.
func drawnSteps(n int) []journal.Step {
	steps := fixtureSteps(n)
	for i := range steps {
		steps[i].Drawn = &journal.Drawn{Batches: 2, Groups: 64, EqualGroups: 16 + 4*i, SurplusGroups: 1, CorrectShare: 0.125 * float64(i+1), ResponseTokens: 9}
	}
	return steps
}

// A run with DAPO's additions says so, and shows what was left out; the others
// have nothing of it.
func TestPageOfADynamicRun(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	wants := []string{
		"all right or all wrong is left out", "Dynamic sampling", `Problems left out: from 25.0`, `Right answers: from 12.5`,
		"Above 72\u00a0tokens it loses some of that, 1 at 96.",
	}
	page := pageOf(t, dir)
	for _, w := range wants {
		if strings.Contains(page, w) {
			t.Errorf("the page of a run of JustRL says %q", w)
		}
	}
	write(t, dir, "steps.jsonl", lines(t, drawnSteps(6)))
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Sampling.Dynamic, c.Reward.OverlongBuffer = true, 24
	b, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "config.yaml", b)
	page = pageOf(t, dir)
	for _, w := range wants {
		if !strings.Contains(page, w) {
			t.Errorf("the page does not say %q", w)
		}
	}
	webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
}
