// Package compare sets runs side by side: by step, by tokens, by seconds and by
// FLOPs, and at the smallest budget that all of them have reached.
//
// Runs whose configurations differ in nothing but their seed, and in where and
// how carefully they run, are one recipe, unless they are given with names; what is
// said of it is a mean over its seeds, with Student's 95 % interval for the mean. The
// interval covers what seeds change, and nothing else. Of one seed there is none, and
// nothing is said to be ahead.
//
// Differences are taken seed by seed where recipes have two seeds or more in common,
// because runs of one seed share the order of the data and the seeds of sampling.
// At equal budgets the recipe with the highest mean is held against all others; at
// the ends of the runs, whatever they took, all others are held against the first.
//
// The budgets count what training took: sampling, thrown-away answers included,
// and updates. Validation is not in them, because it is not the recipe's, and nor
// is work that was done twice because a run was stopped; both are in the table of costs.
//
// Everything is read from the run directories; nothing in them is changed, and no
// lock is taken. Deliberately absent: the choice of a best checkpoint or seed, and
// a correction for many comparisons, of which the text warns.
package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/orchestrator/config"
)

// Comparison is what Read found.
type Comparison struct {
	Recipes []*Recipe `json:"recipes"`
	// Notes say what a reader must know: runs that are left out of means, costs
	// that were not recorded.
	Notes  []string `json:"notes,omitempty"`
	Equals []Equal  `json:"equal_budgets"`

	measures []measure
	ends     []end
}

// Recipe is runs that differ only in their seed, in the order in which they were named.
type Recipe struct {
	Name    string   `json:"name"`
	Differs []string `json:"differs,omitempty"` // from the first recipe: each key, with both values
	Runs    []*Run   `json:"runs"`
	// Measures are what it came to at the end of its runs.
	Measures []Measure `json:"measures"`

	config  config.Config
	changes []change // on the way, the same of all runs
}

// Read compares the runs of several run directories, of which some may still go
// on. Its error names the file of what cannot be read, and wraps
// journal.ErrNotRun where a folder is no run.
func Read(dirs []string) (*Comparison, error) {
	runs := make([]Named, len(dirs))
	for i, dir := range dirs {
		runs[i].Dir = dir
	}
	c, err := group(runs)
	if err != nil {
		return nil, err
	}
	c.name()
	return c.compared(), nil
}

// Named is a run directory with the name of its recipe.
type Named struct{ Recipe, Dir string }

// ReadNamed is Read where somebody else says which runs are of one recipe, and how
// those are called. The first run's recipe is the first.
func ReadNamed(runs []Named) (*Comparison, error) {
	c, err := group(runs)
	if err != nil {
		return nil, err
	}
	return c.compared(), nil
}

func group(runs []Named) (*Comparison, error) {
	c := &Comparison{}
	for _, n := range runs {
		r, cfg, err := read(n.Dir)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		c.add(n.Recipe, r, cfg)
	}
	return c, nil
}

// compared fills in all that is said of recipes that have their names.
func (c *Comparison) compared() *Comparison {
	for _, p := range c.Recipes {
		p.Differs = p.config.Differences(c.Recipes[0].config)
		for _, ch := range p.changes {
			if !slices.ContainsFunc(c.Recipes[0].changes, ch.equal) {
				p.Differs = append(p.Differs, fmt.Sprintf("from step %d: %s", ch.step+1, strings.Join(ch.settings, ", ")))
			}
		}
	}
	c.measures = c.measured()
	for _, axis := range axes {
		if axis.equal {
			c.Equals = append(c.Equals, c.equal(axis))
		}
	}
	c.ends = c.atTheEnd()
	return c
}

// add puts a run with those of its recipe: of this name, or where it has none of
// this configuration.
func (c *Comparison) add(name string, r *Run, cfg config.Config) {
	cfg = recipeOf(cfg)
	i := slices.IndexFunc(c.Recipes, func(p *Recipe) bool {
		if name != "" {
			return p.Name == name
		}
		return len(cfg.Differences(p.config)) == 0 && slices.EqualFunc(r.changes, p.changes, change.equal)
	})
	if i < 0 {
		i = len(c.Recipes)
		c.Recipes = append(c.Recipes, &Recipe{Name: name, config: cfg, changes: r.changes})
	}
	p := c.Recipes[i]
	if j := slices.IndexFunc(p.Runs, func(o *Run) bool { return o.Seed == r.Seed }); j >= 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%s and %s are the same recipe with the same seed, %d: the second one is left out, because it says nothing about other seeds.", p.Runs[j].Dir, r.Dir, r.Seed))
		return
	}
	p.Runs = append(p.Runs, r)
	if r.unpriced != "" {
		c.Notes = append(c.Notes, r.unpriced)
	}
}

// recipeOf is a configuration without what does not make another recipe of it:
// the seed, and where, how long and how carefully a run goes.
func recipeOf(c config.Config) config.Config {
	c = c.Conducted(config.Config{})
	c.Preset, c.Seed = "", 0
	return c
}

// mostKeys is how many settings a recipe's name has at most.
const mostKeys = 2

// name calls the recipes by their presets where those differ, else by the
// settings that do.
func (c *Comparison) name() {
	preset := func(p *Recipe) string { return cmp.Or(p.Runs[0].preset, "recipe") }
	taken := map[string]int{}
	for _, p := range c.Recipes {
		p.Name = preset(p)
		for _, other := range c.Recipes {
			if other != p && preset(other) == preset(p) {
				p.Name = strings.Join(append([]string{preset(p)}, c.settings(p, preset)...), ", ")
				break
			}
		}
		if taken[p.Name]++; taken[p.Name] > 1 {
			p.Name = fmt.Sprintf("%s (%d)", p.Name, taken[p.Name])
		}
	}
}

// settings are the first few of a recipe that others of its preset do not share.
func (c *Comparison) settings(p *Recipe, preset func(*Recipe) string) (all []string) {
	add := func(difference, from string) {
		key, values, _ := strings.Cut(difference, " is ")
		value, _, _ := strings.Cut(values, ", was ")
		if s := key + "=" + value + from; len(all) < mostKeys && !slices.Contains(all, s) && len(value) < 40 {
			all = append(all, s)
		}
	}
	for _, other := range c.Recipes {
		if preset(other) != preset(p) {
			continue
		}
		for _, d := range p.config.Differences(other.config) {
			add(d, "")
		}
		for _, ch := range p.changes {
			if slices.ContainsFunc(other.changes, ch.equal) {
				continue
			}
			for _, d := range ch.settings {
				add(d, fmt.Sprintf(" from step %d", ch.step+1))
			}
		}
	}
	return all
}
