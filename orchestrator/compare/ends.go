package compare

import (
	"fmt"
	"math"
	"strings"
)

// Measure is what a recipe came to at the end of its runs, whatever they took.
// Shares are from 0 to 1.
type Measure struct {
	Name  string `json:"name"`
	First Stat   `json:"first"` // of the first step, or the first measurement
	Last  Stat   `json:"last"`  // of the last few steps ([LastSteps]), or the last measurement
	// Difference is by how much Last is above that of the first recipe; nil of the
	// first recipe itself, and where none is to be had.
	Difference *Stat `json:"difference,omitempty"`
	// Verdict says what the difference allows to say, or why there is none.
	Verdict string `json:"verdict,omitempty"`
}

// end is one measure of all recipes at the ends of their runs, in their order.
type end struct {
	measure
	first []Stat
	last  []Cell
	said  []string // of all recipes but the first
}

// atTheEnd fills in what the recipes came to, and returns the same by measure.
func (c *Comparison) atTheEnd() (all []end) {
	steps := axisAt("step")
	for _, m := range c.measures {
		e := end{measure: m}
		for _, p := range c.Recipes {
			e.first, e.last = append(e.first, p.first(m)), append(e.last, p.at(m, steps, math.Inf(1)))
		}
		measured := false
		for i, p := range c.Recipes {
			result := Measure{Name: m.key, First: e.first[i], Last: e.last[i].Stat}
			if i > 0 {
				result.Difference, result.Verdict = c.besideFirst(e, i)
				e.said = append(e.said, result.Verdict)
			}
			if result.Last.N > 0 {
				p.Measures, measured = append(p.Measures, result), true
			}
		}
		if measured {
			all = append(all, e)
		}
	}
	return all
}

// first is what the recipe's runs began with; N is 0 where nothing says.
func (p *Recipe) first(m measure) (s Stat) {
	var values []float64
	for _, r := range p.Runs {
		if m.of != nil {
			if len(r.steps) > 0 {
				values = append(values, m.of(r.steps[0]))
			}
			continue
		}
		for _, v := range r.measured {
			if a, has := m.accuracy(v); has {
				values = append(values, a)
				break
			}
		}
	}
	if len(values) == 0 {
		return s
	}
	return statOf(values)
}

// besideFirst is how a recipe differs from the first one at the end, with a sentence.
func (c *Comparison) besideFirst(e end, i int) (*Stat, string) {
	p, to := c.Recipes[i], c.Recipes[0]
	var missing, single []string
	for _, of := range []int{i, 0} {
		switch e.last[of].N {
		case 0:
			missing = append(missing, c.Recipes[of].Name)
		case 1:
			single = append(single, c.Recipes[of].Name)
		}
	}
	switch {
	case e.id == "reward" && p.otherReward(to):
		return nil, fmt.Sprintf("%s and %s are not compared: they do not reward the same (%s)", p.Name, to.Name, otherRewards)
	case len(missing) > 0:
		return nil, "cannot be told: " + strings.Join(missing, ", ") + " was not measured"
	case len(single) > 0:
		return nil, "cannot be told: one seed of " + strings.Join(single, ", ") + " shows no spread"
	}
	d := less(e.last[i].values, e.last[0].values)
	switch said := e.beside(to.Name, d); {
	case !d.told():
		return &d, p.Name + " cannot be told from " + said
	case d.Mean > 0:
		return &d, p.Name + " is above " + said
	default:
		return &d, p.Name + " is below " + said
	}
}
