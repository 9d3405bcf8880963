package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// status is where the run stands.
func (r *run) status() string {
	done, planned := r.done(), r.planned()
	switch {
	case r.summary != nil:
		return "Finished: " + numerals.CountOf(done, "step")
	case planned > 0:
		return fmt.Sprintf("Not finished: %s of %s", numerals.Count(int64(done)), numerals.CountOf(planned, "step"))
	default:
		return "Not finished: " + numerals.CountOf(done, "step")
	}
}

// headline is the outcome in one line: held-out accuracy, the mean over the
// sets where there are several, or else the reward.
func (r *run) headline() string {
	if first, last, ok := r.accuracy(plainAnswers); ok {
		return "Held-out problems answered right: " + numerals.Percent(first) + " → " + numerals.Percent(last)
	}
	c := chart.Curve{Y: r.column("critic/score/mean")}
	if c.First() >= 0 {
		return "Reward: " + c.Change(numerals.Reward)
	}
	return "No step has been recorded yet"
}

// phrase is a piece of text; Code is a name that is shown as it is.
type phrase struct {
	Text string
	Code bool
}

// lead tells a newcomer what was done.
func (r *run) lead() []phrase {
	var all []phrase
	say := func(format string, args ...any) { all = append(all, phrase{Text: fmt.Sprintf(format, args...)}) }
	name := func(path string) { all = append(all, phrase{Text: shortPath(path), Code: true}) }
	say("The language model ")
	if r.info.Model != "" {
		name(r.info.Model)
	}
	if r.config.Data != "" {
		say(" learns from the problems of ")
		name(r.config.Data)
		say(" by reinforcement learning (GRPO). ")
	} else {
		say(" learns by reinforcement learning (GRPO). ")
	}
	if s := r.config.Sampling; s.Batch > 0 && s.N > 0 {
		say("In each step it answers %s, %s each. ", numerals.CountOf(s.Batch, "problem"), numerals.CountOf(s.N, "time"))
	}
	say("Right answers are rewarded, and the weights are moved towards those that did better than the other answers to the same problem.")
	if r.config.Sampling.Dynamic {
		say(" A problem whose answers are all right or all wrong is left out, and another one taken in its place (dynamic sampling).")
	}
	if r.config.Reward.ShuffleControl {
		say(" In this run the rewards were shuffled among the answers, as a control: whatever it learns here, it does not learn what is right.")
	}
	if sets := r.sets(); len(sets) > 0 {
		say(" How often it is right is measured on problems that are held out from training: ")
		for i, set := range sets {
			if i > 0 {
				say(", ")
			}
			all = append(all, phrase{Text: set, Code: true})
		}
		say(".")
	}
	return all
}

// shortPath is the last two parts of a path: the last alone is often the same for all.
func shortPath(path string) string {
	path = filepath.Clean(path)
	return strings.TrimPrefix(filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path)), "/")
}

// Which of a measurement's two accuracies is meant.
func plainAnswers(m journal.Validation) map[string]float64   { return m.Accuracy }
func sampledAnswers(m journal.Validation) map[string]float64 { return m.Sampled }

// accuracy is the first and the last in percent, the mean over the sets that
// both measurements have; not ok if there are no two.
func (r *run) accuracy(which func(journal.Validation) map[string]float64) (first, last float64, ok bool) {
	sets := map[string]bool{}
	for _, m := range r.measurements {
		for set := range which(m) {
			sets[set] = true
		}
	}
	n := 0.0
	for set := range maps.Keys(sets) {
		if a, b, ok := r.accuracyOn(set, which); ok {
			first, last, n = first+a, last+b, n+1
		}
	}
	return first / n, last / n, n > 0
}

// accuracyOn is the first and the last accuracy on a set in percent; not ok if there are no two.
func (r *run) accuracyOn(set string, which func(journal.Validation) map[string]float64) (first, last float64, ok bool) {
	n := 0
	for _, m := range r.measurements {
		if v, has := which(m)[set]; has {
			if n == 0 {
				first = 100 * v
			}
			last = 100 * v
			n++
		}
	}
	return first, last, n > 1
}

// tiles are the figures under the headline.
func (r *run) tiles() []tile {
	var all []tile
	sets, over := r.sets(), ""
	if len(sets) > 1 {
		over = ", mean of " + numerals.CountOf(len(sets), "set")
	}
	if a, b, ok := r.accuracy(plainAnswers); ok {
		all = append(all, tile{"Held-out accuracy", numerals.Percent(a), numerals.Percent(b), r.decoding() + over})
	}
	if a, b, ok := r.accuracy(sampledAnswers); ok {
		all = append(all, tile{"Held-out accuracy", numerals.Percent(a), numerals.Percent(b), r.trainingDecoding() + over})
	}
	if c := (chart.Curve{Y: r.column("critic/score/mean")}); c.First() >= 0 {
		t := tile{"Reward", "", numerals.Reward(c.Y[c.Last()]), "mean of a step, first → last"}
		if c.First() != c.Last() {
			t.First = numerals.Reward(c.Y[c.First()])
		}
		all = append(all, t)
	}
	planned := ""
	if r.planned() > 0 {
		planned = "of " + numerals.Count(int64(r.planned()))
	}
	all = append(all, tile{Name: "Steps", Last: numerals.Count(int64(r.done())), Note: planned})
	if r.summary != nil {
		return append(all,
			tile{Name: "Wall time", Last: numerals.Duration(r.summary.WallS), Note: "of the whole run"},
			tile{Name: "Tokens sampled", Last: numerals.Amount(float64(r.summary.Tokens)), Note: "in answers for training"})
	}
	if r.steps.n > 0 {
		all = append(all,
			tile{Name: "Time in steps", Last: numerals.Duration(r.sum("timing_s/step")), Note: "so far"},
			tile{Name: "Tokens trained on", Last: numerals.Amount(r.sum("tokens")), Note: "of answers, so far"})
	}
	return all
}

// setRow is a held-out set in the table that several of them get.
type setRow struct{ Set, How, First, Last, Best string }

func (r *run) setRows() []setRow {
	if len(r.sets()) < 2 {
		return nil
	}
	var all []setRow
	for _, set := range r.sets() {
		for _, w := range []struct {
			how   string
			which func(journal.Validation) map[string]float64
		}{{r.decoding(), plainAnswers}, {r.trainingDecoding(), sampledAnswers}} {
			a, b, ok := r.accuracyOn(set, w.which)
			if !ok {
				continue
			}
			best := math.Inf(-1)
			for _, m := range r.measurements {
				if v, has := w.which(m)[set]; has {
					best = max(best, 100*v)
				}
			}
			all = append(all, setRow{set, w.how, numerals.Percent(a), numerals.Percent(b), numerals.Percent(best)})
		}
	}
	return all
}

// facts say where the outcome is.
func (r *run) facts() []fact {
	var all []fact
	if r.summary != nil {
		all = append(all, fact{"Weights", r.summary.Model}, fact{"SHA-256 of the weights", r.summary.WeightsSHA256})
	} else {
		if r.checkpoint != "" {
			all = append(all, fact{"Newest checkpoint", r.checkpoint})
		}
		if r.steps.sha256 != "" {
			all = append(all, fact{"SHA-256 of the weights after the last step", r.steps.sha256})
		}
	}
	all = append(all, fact{"Trained from", r.info.Model}, fact{"Problems", r.config.Data}, fact{"Run", r.path})
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// infoFacts lists run.json, keys that this program does not know included, and
// where the run was resumed.
func (r *run) infoFacts() []fact {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(r.infoText, &values); err != nil {
		return nil // it was read before: cannot happen
	}
	known := []string{"id", "version", "go", "host", "cpus", "started", "seed", "model", "servers"}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(k string) bool { return slices.Contains(known, k) })
	var all []fact
	for _, key := range slices.Concat(known, others) {
		raw, ok := values[key]
		if !ok {
			continue
		}
		var one string
		var several []string
		switch {
		case json.Unmarshal(raw, &one) == nil:
		case json.Unmarshal(raw, &several) == nil:
			one = strings.Join(several, ", ")
		default:
			one = string(raw)
		}
		all = append(all, fact{key, one})
	}
	return append(all, resumeFacts(r.resumes)...)
}
