package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// measure is what recipes are compared by.
type measure struct {
	key            string // in JSON
	id, name, unit string // of its diagram
	format         numerals.Format
	of             func(point) float64 // of a step; nil for a held-out set
	set            string
	sampled        bool    // the set's answers at the temperature of training
	share          bool    // from 0 to 1, shown in percent
	neutral        bool    // more of it is neither better nor worse: nobody is ahead by it
	low, high      float64 // of its axis, as shown; equal: as the data are
	about          string
}

// measured are those that at least one run has.
func (c *Comparison) measured() []measure {
	var all []measure
	sets, sampled := map[string]bool{}, map[string]bool{}
	for _, p := range c.Recipes {
		for _, r := range p.Runs {
			for _, m := range r.measured {
				for set := range m.Accuracy {
					sets[set] = true
				}
				for set := range m.Sampled {
					sampled[set] = true
				}
			}
		}
	}
	all = append(all,
		measure{key: "reward", id: "reward", name: "reward", unit: "mean of a step", format: numerals.Reward, of: func(p point) float64 { return p.reward },
			about: "What training raises. Recipes that shape rewards count otherwise."},
		measure{key: "right in training", id: "correct", name: "right answers in training", unit: "% of what was drawn", format: numerals.Percent, share: true, high: 100, of: func(p point) float64 { return p.correct }})
	for i, set := range slices.Sorted(maps.Keys(sets)) {
		m := measure{key: set, id: fmt.Sprintf("heldout%d", i+1), name: "held-out accuracy, " + set, unit: "% right", format: numerals.Percent, set: set, share: true, high: 100,
			about: "Held-out problems, answered before training and every so many steps, as validation.temperature says."}
		all = append(all, m)
		if sampled[set] {
			m.key, m.id, m.name, m.sampled = m.key+", sampled", m.id+"-sampled", m.name+", sampled", true
			m.about = "Held-out problems, answered at the temperature of training, several times each."
			all = append(all, m)
		}
	}
	return append(all,
		measure{key: "response length", id: "length", name: "response length", unit: "tokens", format: numerals.Plain, neutral: true, of: func(p point) float64 { return p.length },
			about: "The mean of a step's answers."},
		measure{key: "cut off", id: "cut", name: "answers cut off", unit: "% of a step", format: numerals.Percent, share: true, neutral: true, of: func(p point) float64 { return p.cut },
			about: "Answers that reached the limit of tokens (sampling.max_tokens) before they ended."},
		measure{key: "entropy", id: "entropy", name: "entropy", unit: "nats a token", format: numerals.Plain, neutral: true, of: func(p point) float64 { return p.entropy },
			about: "How open the choice of the next token is."})
}

// accuracy is a held-out set's in a measurement.
func (m measure) accuracy(v journal.Validation) (share float64, has bool) {
	if m.sampled {
		share, has = v.Sampled[m.set]
	} else {
		share, has = v.Accuracy[m.set]
	}
	return share, has
}

// shown is a value as the measure's format takes it.
func (m measure) shown(x float64) float64 {
	if m.share {
		return 100 * x
	}
	return x
}

func (m measure) text(x float64) string { return m.format(m.shown(x)) }

// half is half of an interval, which has no sign.
func (m measure) half(x float64) string { return strings.TrimPrefix(m.text(x), "+") }

// difference is one between two values, with its sign; of shares in points.
func (m measure) difference(x float64) string {
	if m.id == "reward" {
		return numerals.Reward(x)
	}
	text := numerals.Plain(x)
	if m.share {
		decimals := 1
		if math.Abs(m.shown(x)) < 0.05 { // an interval's end near 0 is on one side of it
			decimals = 3
		}
		text = numerals.Signed(numerals.Fixed(m.shown(x), decimals))
	}
	if x > 0 && text != "0" {
		return "+" + text
	}
	return text
}

// points is the unit of a difference.
func (m measure) points() string {
	if m.share {
		return "\u00a0points"
	}
	return ""
}
