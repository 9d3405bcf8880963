package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// LastSteps is how many steps up to a budget a figure of training is the mean of.
const LastSteps = 5

// Equal is the recipes at the smallest budget that every run has reached.
type Equal struct {
	Axis   string  `json:"by"`
	Budget float64 `json:"budget"` // tokens or operations; 0 where it cannot be told
	Rows   []Row   `json:"measures,omitempty"`
	Why    string  `json:"why,omitempty"` // there are no rows

	axis int
}

// Row is one measure of all recipes, in their order. Shares are from 0 to 1.
type Row struct {
	Measure string `json:"measure"`
	Cells   []Cell `json:"recipes"`
	Verdict string `json:"verdict"`
	Told    bool   `json:"told"` // one is ahead of all others

	measure measure
}

// Cell is a recipe's; N is 0 where no run of it was measured within the budget.
type Cell struct {
	Stat
	Steps []int `json:"steps,omitempty"` // done when each run was last measured within the budget

	values map[int64]float64 // by seed
}

func (c *Comparison) equal(axis Axis) Equal {
	e := Equal{Axis: axis.Name, axis: axisAt(axis.ID)}
	budget := math.Inf(1)
	for _, p := range c.Recipes {
		for _, r := range p.Runs {
			took := r.took(e.axis)
			if math.IsNaN(took) {
				e.Why = fmt.Sprintf("%s does not say what its steps took.", r.Dir)
				return e
			}
			budget = min(budget, took)
		}
	}
	e.Budget = budget
	for _, m := range c.measures {
		if m.neutral {
			continue
		}
		row := Row{Measure: m.key, measure: m}
		for _, p := range c.Recipes {
			row.Cells = append(row.Cells, p.at(m, e.axis, budget))
		}
		row.Verdict, row.Told = c.verdict(row)
		e.Rows = append(e.Rows, row)
	}
	return e
}

// at is what a recipe had come to within a budget.
func (p *Recipe) at(m measure, axis int, budget float64) Cell {
	cell := Cell{values: map[int64]float64{}}
	var values []float64
	for _, r := range p.Runs {
		x, steps, ok := r.within(m, axis, budget)
		if !ok {
			continue
		}
		cell.values[r.Seed] = x
		values, cell.Steps = append(values, x), append(cell.Steps, steps)
	}
	if len(values) > 0 {
		cell.Stat = statOf(values)
	}
	return cell
}

// within is a measure of a run within a budget, and how many steps it had done:
// the mean of the last few steps, or the last accuracy that was measured.
// What was measured before training is no outcome.
func (r *Run) within(m measure, axis int, budget float64) (x float64, steps int, ok bool) {
	n := r.upTo(axis, budget)
	if m.of != nil {
		for i := max(0, n-LastSteps); i < n; i++ {
			x += m.of(r.steps[i]) / float64(min(n, LastSteps))
		}
		return x, n, n > 0
	}
	for _, v := range r.measured {
		if a, has := m.accuracy(v); has && v.Steps > 0 && v.Steps <= n {
			x, steps, ok = a, v.Steps, true
		}
	}
	return x, steps, ok
}

// verdict says which recipe is ahead, and by how much; or why that cannot be told.
func (c *Comparison) verdict(row Row) (said string, told bool) {
	switch {
	case len(c.Recipes) < 2:
		return "one recipe: nothing to compare it with", false
	case row.measure.id == "reward" && slices.ContainsFunc(c.Recipes, c.Recipes[0].otherReward):
		return "not compared: the recipes do not reward the same (" + otherRewards + ")", false
	}
	var missing, single []string
	best := -1
	for i, cell := range row.Cells {
		switch name := c.Recipes[i].Name; cell.N {
		case 0:
			missing = append(missing, name)
			continue
		case 1:
			single = append(single, name)
		}
		if best < 0 || cell.Mean > row.Cells[best].Mean {
			best = i
		}
	}
	switch {
	case len(missing) > 0:
		return "cannot be told: within this budget " + strings.Join(missing, ", ") + " was not measured", false
	case len(single) > 0:
		return fmt.Sprintf("cannot be told: one seed of %s shows no spread (%s has the highest value)", strings.Join(single, ", "), c.Recipes[best].Name), false
	}
	var over, not []string
	for i, cell := range row.Cells {
		if i == best {
			continue
		}
		d := less(row.Cells[best].values, cell.values)
		said := row.measure.beside(c.Recipes[i].Name, d)
		if d.told() && d.Mean > 0 { // over the seeds that both have the other may be above
			over = append(over, said)
		} else {
			not = append(not, said)
		}
	}
	name := c.Recipes[best].Name
	switch {
	case len(not) == 0:
		return name + " is ahead of " + strings.Join(over, ", "), true
	case len(over) == 0:
		return "cannot be told: " + name + " has the highest mean, but cannot be told from " + strings.Join(not, ", "), false
	default:
		return name + " is ahead of " + strings.Join(over, ", ") + ", but cannot be told from " + strings.Join(not, ", "), false
	}
}

// beside names a recipe with by how much another one's mean is above its own.
func (m measure) beside(name string, d Stat) string {
	if d.N > 1 && d.Half == 0 && d.Mean != 0 {
		return fmt.Sprintf("%s (%s%s with every seed, which shows no spread)", name, m.difference(d.Mean), m.points())
	}
	return fmt.Sprintf("%s (%s%s, 95 %% interval %s to %s)", name, m.difference(d.Mean), m.points(), m.difference(d.Mean-d.Half), m.difference(d.Mean+d.Half))
}

const otherRewards = "their rewards differ, or dynamic sampling chooses what the mean is over"

// otherReward: the mean rewards of the two recipes are not of one thing.
func (p *Recipe) otherReward(o *Recipe) bool {
	ofReward := func(d string) bool { return strings.HasPrefix(d, "reward.") }
	return p.config.Sampling.Dynamic != o.config.Sampling.Dynamic || slices.ContainsFunc(p.config.Differences(o.config), ofReward) ||
		!slices.EqualFunc(p.changes, o.changes, change.equal) && slices.ContainsFunc(slices.Concat(p.changes, o.changes), func(c change) bool { return slices.ContainsFunc(c.settings, ofReward) })
}
