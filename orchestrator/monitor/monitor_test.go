package monitor

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

// rewards are records of steps that differ by nothing but their reward.
func rewards(means ...float64) (all []told) {
	for i, x := range means {
		s := journal.Step{Step: i, Correct: (x + 1) / 2, ScoreMean: x, ResponseMean: 50, UpdateMetrics: updater.UpdateMetrics{Entropy: 1}}
		all = append(all, told{step: &s})
	}
	return all
}

func flat(n int, x float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = x
	}
	return out
}

func join(parts ...[]float64) (all []float64) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// By hand: with a window of 10 and no noise, a reward that falls from 0.6 to -0.1
// is more than 0.3 under its best after five steps.
func TestRewardDropByHand(t *testing.T) {
	c := preset(t, "tiny-cpu")
	events := watched(c, rewards(join(flat(20, 0.6), flat(30, -0.1))...))
	if len(events) != 1 {
		t.Fatalf("events %v, want one", events)
	}
	want := journal.Event{
		Step: 24, Signature: "reward_drop", Action: config.ActionWarn, Message: events[0].Message,
		Evidence: map[string]float64{"mean": 0.25, "best": 0.6, "best_step": 9, "drop": 0.35, "threshold": 0.3, "noise": 0},
	}
	for key, x := range events[0].Evidence {
		events[0].Evidence[key] = math.Round(x*1e9) / 1e9
	}
	if d := cmp.Diff(want, events[0]); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, words := range []string{"the reward is +0.250 in the mean of the last 10 steps, 0.350 under its best (+0.600 at step 10)", "look at the rollouts"} {
		if !strings.Contains(events[0].Message, words) {
			t.Errorf("%q does not say %q", events[0].Message, words)
		}
	}
}

// What was told is told again only after it has been away for rearm steps.
func TestToldAgainOnlyAfterRearm(t *testing.T) {
	c := preset(t, "tiny-cpu")
	for _, tc := range []struct {
		name  string
		means []float64
		want  int
	}{
		{"it stays", join(flat(20, 0.6), flat(200, 0)), 1},
		{"it is away for a moment", join(flat(20, 0.6), flat(20, 0), flat(15, 0.6), flat(30, 0)), 1},
		{"it is away for long", join(flat(20, 0.6), flat(20, 0), flat(60, 0.6), flat(30, 0)), 2},
		{"it lies about its threshold", join(flat(20, 0.6), flat(40, 0.28), flat(40, 0.32), flat(40, 0.28)), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if events := watched(c, rewards(tc.means...)); len(events) != tc.want {
				t.Errorf("events %v, want %d", events, tc.want)
			}
		})
	}
}

func TestActions(t *testing.T) {
	means := join(flat(20, 0.6), flat(30, 0))
	for _, action := range config.Actions() {
		c := preset(t, "tiny-cpu")
		c.Monitor.RewardDrop.Action = action
		events := watched(c, rewards(means...))
		if action == config.ActionOff {
			if len(events) != 0 {
				t.Errorf("off: %v", events)
			}
			continue
		}
		if len(events) != 1 || events[0].Action != action {
			t.Errorf("%s: %v", action, events)
		}
	}
}

// A signature whose action is stop is told again by a resumed run's first step in
// which it is still there; one that warns is not.
func TestRearm(t *testing.T) {
	for action, want := range map[string]int{config.ActionStop: 1, config.ActionWarn: 0} {
		c := preset(t, "tiny-cpu")
		c.Monitor.RewardDrop.Action = action
		m := New(c)
		all := rewards(join(flat(20, 0.6), flat(20, 0))...)
		for _, r := range all[:39] {
			m.Step(*r.step)
		}
		m.Rearm()
		if events := m.Step(*all[39].step); len(events) != want {
			t.Errorf("%s: %v, want %d", action, events, want)
		}
	}
}

// Rewards of all rows drawn count with dynamic sampling, not those that were chosen.
func TestDynamicSamplingIsJudgedByWhatWasDrawn(t *testing.T) {
	c := preset(t, "dapo")
	var all []told
	for i := range 60 {
		right := 0.6
		if i >= 30 {
			right = 0.1
		}
		s := journal.Step{Step: i, Correct: 0.5, UpdateMetrics: updater.UpdateMetrics{Entropy: 1}, ResponseMean: 50, Drawn: &journal.Drawn{Batches: 2, Groups: 512, EqualGroups: 100, CorrectShare: right}}
		all = append(all, told{step: &s})
	}
	events := watched(c, all)
	if len(events) != 1 || events[0].Signature != "reward_drop" {
		t.Errorf("events %v, want a reward_drop", events)
	}
}

// Records of runs that knew nothing of the monitor's own figures are judged by the others.
func TestRecordsWithoutTexts(t *testing.T) {
	c := preset(t, config.DefaultPreset)
	r := large(c, 60)
	if events := watched(c, r.records(3, func(s *journal.Step, _ *journal.Validation) {
		if s != nil {
			s.Texts, s.Compared, s.Rescored, s.Unscored, s.Updates = nil, nil, nil, nil, nil
		}
	})); len(events) != 0 {
		t.Errorf("events %v", events)
	}
}

// A monitor that is told the records again, as a resumed run's is, finds what the first one found.
func TestTheSameRecordsTheSameEvents(t *testing.T) {
	c := preset(t, "tiny-cpu")
	r := small(c, 150)
	all := r.records(5, func(s *journal.Step, _ *journal.Validation) {
		if s != nil && s.Step > 90 {
			score(s, 0.2)
			s.BoxedOnly = 0.7
		}
	})
	first := watched(c, all)
	if len(first) < 2 {
		t.Fatalf("events %v", first)
	}
	if d := cmp.Diff(first, watched(c, all)); d != "" {
		t.Errorf("(-first +second)\n%s", d)
	}
}

// The documentation has a line for each signature, in the order of the table.
func TestEverySignatureIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "\n## Signatures\n")
	settings := preset(t, config.DefaultPreset).Monitor.Signatures()
	for _, s := range signatures() {
		var found bool
		if _, table, found = strings.Cut(table, "\n| `"+s.name+"` |"); !found {
			t.Fatalf("docs/monitoring.md has no line for %s where it should be", s.name)
		}
		line, _, _ := strings.Cut(table, "\n")
		if want := fmt.Sprintf("| %g |", settings[s.name].Threshold); !strings.HasSuffix(line, want) {
			t.Errorf("%s: docs/monitoring.md says %q, the default is %q", s.name, line, want)
		}
	}
	if len(settings) != len(signatures()) {
		t.Errorf("%d settings for %d signatures", len(settings), len(signatures()))
	}
}
