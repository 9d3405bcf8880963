// Package trials says what came of runs of several recipes with several seeds
// each: what every recipe came to with its spread over the seeds, and how it
// differs from the first one, seed by seed.
//
// The runs of one seed share the order of the data and the seeds of sampling, and
// so a difference is taken within each seed. Its interval is Student's over the
// seeds: with three of them it is wide (4.3 standard errors), and says so. It
// covers what seeds change and nothing else: not the model, the data, the size, or
// settings that would have suited a recipe better.
//
// Everything is read from the run directories; nothing is changed in them, and no
// lock is taken. Deliberately absent: a choice of the best checkpoint or of the
// best seed, and a correction for many comparisons, of which the text warns.
package trials

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Run is one run: its recipe, its seed, and its directory.
type Run struct {
	Recipe string `json:"-"`
	Seed   int64  `json:"seed"`
	Dir    string `json:"dir"`

	Steps         int     `json:"steps"`
	Tokens        int64   `json:"response_tokens"` // sampled in training
	Trained       int64   `json:"trained_tokens"`  // prompt and response tokens of the updates
	Seconds       float64 `json:"wall_s"`
	WeightsSHA256 string  `json:"weights_sha256"`

	steps        []journal.Step
	measurements []journal.Validation
}

// Results are those of all recipes, in the order in which they came.
type Results struct {
	Recipes []*Recipe `json:"recipes"`
	sets    []string
}

// Recipe is what one came to.
type Recipe struct {
	Name     string    `json:"name"`
	Runs     []*Run    `json:"runs"`
	Measures []Measure `json:"measures"`
}

// Measure is a figure at the beginning and at the end of the runs.
type Measure struct {
	Name  string `json:"name"`
	First Stat   `json:"first"`
	Last  Stat   `json:"last"`
	// Difference is Last less that of the first recipe, over the seeds that both
	// have; nil of the first recipe itself, and where fewer than two are common.
	Difference *Stat `json:"difference,omitempty"`
	share      bool
	values     map[int64]float64 // the last, by seed
}

// Stat is a mean over seeds.
type Stat struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"`      // over n - 1; 0 of one
	Half float64 `json:"half_95"` // half of the mean's 95 % interval (Student); 0 of one, which has none
}

// LastSteps is how many steps at the end of a run a figure of training is the mean of.
const LastSteps = 5

// Read reads runs that are complete. Its error names the file of what cannot be
// read, and wraps journal.ErrNotRun where a folder is no run.
func Read(runs []Run) (*Results, error) {
	res := &Results{}
	by := map[string]*Recipe{}
	sets := map[string]bool{}
	for _, r := range runs {
		if err := r.read(); err != nil {
			return nil, err
		}
		if by[r.Recipe] == nil {
			by[r.Recipe] = &Recipe{Name: r.Recipe}
			res.Recipes = append(res.Recipes, by[r.Recipe])
		}
		by[r.Recipe].Runs = append(by[r.Recipe].Runs, &r)
		for _, m := range r.measurements {
			for set := range m.Accuracy {
				sets[set] = true
			}
		}
	}
	res.sets = slices.Sorted(maps.Keys(sets))
	for _, recipe := range res.Recipes {
		recipe.measure(res.sets)
		recipe.compare(res.Recipes[0])
	}
	return res, nil
}

func (r *Run) read() error {
	if _, err := journal.ReadInfo(r.Dir); err != nil {
		return err
	}
	for s, err := range journal.Lines[journal.Step](journal.StepsPath(r.Dir)) {
		if err != nil {
			return err
		}
		r.steps = append(r.steps, s)
		r.Tokens, r.Trained = r.Tokens+s.ResponseTokens(), r.Trained+int64(s.Tokens)
	}
	for v, err := range journal.Lines[journal.Validation](journal.ValidationsPath(r.Dir)) {
		if err != nil {
			return err
		}
		r.measurements = append(r.measurements, v)
	}
	r.Steps = len(r.steps)
	if r.Steps == 0 {
		return fmt.Errorf("%s: %w", journal.StepsPath(r.Dir), errors.New("no step is recorded"))
	}
	r.WeightsSHA256 = r.steps[r.Steps-1].WeightsSHA256
	s, finished, err := journal.ReadSummary(r.Dir)
	if finished {
		r.Tokens, r.Seconds = s.Tokens, s.WallS
	}
	return err
}

// measure fills in the recipe's figures.
func (r *Recipe) measure(sets []string) {
	ofSteps := func(name string, share bool, of func(journal.Step) float64) {
		r.add(name, share, func(run *Run) (first, last float64, ok bool) {
			tail := run.steps[max(0, len(run.steps)-LastSteps):]
			for _, s := range tail {
				last += of(s) / float64(len(tail))
			}
			return of(run.steps[0]), last, true
		})
	}
	for _, set := range sets {
		ofSet := func(name string, of func(journal.Validation) map[string]float64) {
			r.add(name, true, func(run *Run) (first, last float64, ok bool) {
				if len(run.measurements) == 0 {
					return 0, 0, false
				}
				first, began := of(run.measurements[0])[set]
				last, ended := of(run.measurements[len(run.measurements)-1])[set]
				return first, last, began && ended
			})
		}
		ofSet(set, func(v journal.Validation) map[string]float64 { return v.Accuracy })
		ofSet(set+", sampled", func(v journal.Validation) map[string]float64 { return v.Sampled })
	}
	ofSteps("reward", false, func(s journal.Step) float64 { return s.ScoreMean })
	ofSteps("right in training", true, func(s journal.Step) float64 {
		if s.Drawn != nil {
			return s.CorrectShare
		}
		return s.Correct
	})
	ofSteps("response length", false, func(s journal.Step) float64 { return s.ResponseMean })
	ofSteps("cut off", true, func(s journal.Step) float64 { return s.ResponseClip })
	ofSteps("entropy", false, func(s journal.Step) float64 { return s.Entropy })
}

// add measures what every run has; of tells what it is in one.
func (r *Recipe) add(name string, share bool, of func(*Run) (first, last float64, ok bool)) {
	m := Measure{Name: name, share: share, values: map[int64]float64{}}
	var firsts, lasts []float64
	for _, run := range r.Runs {
		first, last, ok := of(run)
		if !ok {
			continue
		}
		firsts, lasts = append(firsts, first), append(lasts, last)
		m.values[run.Seed] = last
	}
	if len(lasts) == 0 {
		return
	}
	m.First, m.Last = statOf(firsts), statOf(lasts)
	r.Measures = append(r.Measures, m)
}

// compare fills in the differences to a recipe, seed by seed.
func (r *Recipe) compare(to *Recipe) {
	if r == to {
		return
	}
	for i := range r.Measures {
		m := &r.Measures[i]
		other := to.find(m.Name)
		if other == nil {
			continue
		}
		var differences []float64
		for _, run := range r.Runs {
			a, has := m.values[run.Seed]
			b, had := other.values[run.Seed]
			if has && had {
				differences = append(differences, a-b)
			}
		}
		if len(differences) > 1 {
			s := statOf(differences)
			m.Difference = &s
		}
	}
}

func (r *Recipe) find(name string) *Measure {
	i := slices.IndexFunc(r.Measures, func(m Measure) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Measures[i]
}

// statOf is the mean of values, of which there is at least one.
func statOf(values []float64) Stat {
	s := Stat{N: len(values)}
	n := float64(s.N)
	for _, v := range values {
		s.Mean += v / n
	}
	if s.N < 2 {
		return s
	}
	for _, v := range values {
		s.SD += (v - s.Mean) * (v - s.Mean) / (n - 1)
	}
	s.SD = math.Sqrt(s.SD)
	s.Half = distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * s.SD / math.Sqrt(n)
	return s
}

// Told tells whether a difference can be told from none: its interval leaves out 0.
func (s Stat) Told() bool { return s.N > 1 && math.Abs(s.Mean) > s.Half }
