package trials

import (
	"math"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// series is a quantity of one run, at steps done and at tokens sampled.
type series struct{ steps, tokens, values []float64 }

// ofSteps is a figure of every training step.
func (r *Run) ofSteps(of func(journal.Step) float64) (s series) {
	tokens := 0.0
	for i, step := range r.steps {
		tokens += float64(step.ResponseTokens())
		s.steps, s.tokens, s.values = append(s.steps, float64(i+1)), append(s.tokens, tokens), append(s.values, of(step))
	}
	return s
}

// ofSet is a held-out set's accuracy.
func (r *Run) ofSet(set string, sampled bool) (s series) {
	for _, m := range r.measurements {
		from := m.Accuracy
		if sampled {
			from = m.Sampled
		}
		v, ok := from[set]
		if !ok {
			continue
		}
		tokens := 0.0
		for _, step := range r.steps[:min(m.Steps, len(r.steps))] {
			tokens += float64(step.ResponseTokens())
		}
		s.steps, s.tokens, s.values = append(s.steps, float64(m.Steps)), append(s.tokens, tokens), append(s.values, 100*v)
	}
	return s
}

// curve is the mean over seeds with the least and the greatest around it. Runs of
// a budget end after different numbers of steps: the n-th value of each is taken
// together with the others', as far as all have one, and the last with the last.
func curve(name string, i int, all []series, byTokens bool) chart.Curve {
	c := chart.Curve{Name: name, Ink: chart.Line(i)}
	n := math.MaxInt
	for _, s := range all {
		n = min(n, len(s.values))
	}
	if len(all) == 0 {
		n = 0
	}
	for k := range n {
		x, y, low, high := 0.0, 0.0, math.Inf(1), math.Inf(-1)
		for _, s := range all {
			at := k
			if k == n-1 {
				at = len(s.values) - 1
			}
			from := s.steps
			if byTokens {
				from = s.tokens
			}
			x, y = x+from[at]/float64(len(all)), y+s.values[at]/float64(len(all))
			low, high = min(low, s.values[at]), max(high, s.values[at])
		}
		c.X, c.Y, c.Lower, c.Upper = append(c.X, x), append(c.Y, y), append(c.Lower, low), append(c.Upper, high)
	}
	if len(all) < 2 {
		c.Lower, c.Upper = nil, nil
	}
	return c
}

// Figures are the diagrams of all recipes: held-out accuracy first.
func (r *Results) Figures() []chart.Figure {
	var all []chart.Figure
	add := func(f chart.Figure, dots bool, of func(*Run) series) {
		for _, byTokens := range []bool{false, true} {
			g := f
			g.ID += map[bool]string{false: "-steps", true: "-tokens"}[byTokens]
			g.X, g.Over, g.XMax = "step", "over the steps of the runs", 1
			if byTokens {
				g.Title += ", by tokens"
				g.X, g.Over = "response tokens", "over the response tokens sampled in training"
			}
			for i, recipe := range r.Recipes {
				var runs []series
				for _, run := range recipe.Runs {
					if s := of(run); len(s.values) > 0 {
						runs = append(runs, s)
					}
				}
				c := curve(recipe.Name, i, runs, byTokens)
				c.Dots = dots
				g.Curves = append(g.Curves, c)
				for _, x := range c.X {
					g.XMax = max(g.XMax, x)
				}
			}
			if !g.Empty() {
				all = append(all, g)
			}
		}
	}
	for _, set := range r.sets {
		for _, sampled := range []bool{false, true} {
			f := chart.Figure{ID: "heldout-" + set, Title: set, Unit: "% right", Format: numerals.Percent, Fixed: true, Low: 0, High: 100,
				About: "Held-out problems, answered before training and every so many steps, as validation.temperature says."}
			if sampled {
				f.ID, f.Title = f.ID+"-sampled", f.Title+", sampled"
				f.About = "Held-out problems, answered at the temperature of training, several times each."
			}
			add(f, true, func(run *Run) series { return run.ofSet(set, sampled) })
		}
	}
	add(chart.Figure{ID: "reward", Title: "Reward", Unit: "mean of a step", Format: numerals.Reward, About: "What training raises. Recipes that shape rewards count otherwise."},
		false, func(run *Run) series { return run.ofSteps(func(s journal.Step) float64 { return s.ScoreMean }) })
	add(chart.Figure{ID: "length", Title: "Response length", Unit: "tokens", Format: numerals.Plain, Zero: true, About: "The mean of a step's answers."},
		false, func(run *Run) series { return run.ofSteps(func(s journal.Step) float64 { return s.ResponseMean }) })
	add(chart.Figure{ID: "entropy", Title: "Entropy", Unit: "nats a token", Format: numerals.Plain, Zero: true, About: "How open the choice of the next token is."},
		false, func(run *Run) series { return run.ofSteps(func(s journal.Step) float64 { return s.Entropy }) })
	return all
}
