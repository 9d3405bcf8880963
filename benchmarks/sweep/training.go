package sweep

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// RunsDir is the folder of the runs' folders in that of a sweep that trains.
const RunsDir = "runs"

// Training is a recipe: as many runs as it has seeds. Its settings mean what
// justrl run's flags of the same names do.
type Training struct {
	Name       string // of its runs' folders, NAME-seed-S, and in tables
	Preset     string // "" is run's default, or what Config names
	Config     string // path; "" is none
	Model      string // an absolute path, or something elsewhere as run --model takes it
	Data       string // ditto
	Validation []string
	Servers    []string // none is the embedded one
	Served     string
	Steps      int      // 0 is the preset's
	Set        []string // KEY=VALUE, the later one counts
	Seeds      []int64
	// Stages are parts of each run with settings of their own; none is one part.
	Stages []Stage
	Where  string // file and line
}

// Stage is a part of a run. It begins with what the one before left: weights,
// optimizer, place in the data.
type Stage struct {
	Steps int // of this stage; 0, of the last alone, is what is left of the run's
	Set   []string
}

// Run is one run of a recipe.
type Run struct {
	*Training
	Seed int64
	Name string // of its folder
	Dir  string
}

// Runs are all runs of a spec below dir, seed by seed: when the sweep is ended
// early, recipes can still be compared.
func (s *Spec) Runs(dir string) []Run {
	var all []Run
	for i := 0; ; i++ {
		had := len(all)
		for _, t := range s.Training {
			if i < len(t.Seeds) {
				name := fmt.Sprintf("%s-seed-%d", t.Name, t.Seeds[i])
				all = append(all, Run{t, t.Seeds[i], name, filepath.Join(dir, RunsDir, name)})
			}
		}
		if len(all) == had {
			return all
		}
	}
}

// Names of recipes are those of folders.
var recipeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// alone refuses other keys beside training.
func (r *reader) alone(n ast.Node) {
	values, _ := r.plain(n).(*ast.MappingNode)
	if values == nil { // it has but one
		return
	}
	for _, v := range values.Values {
		if name := v.Key.GetToken().Value; name != "training" {
			r.fault(v.Key, name, "is for evaluations: a spec trains or evaluates; evaluate the checkpoints of its runs with another spec, whose models name their folders")
		}
	}
}

// training reads what all recipes share, and the recipes.
func (r *reader) training(key string, v ast.Node) {
	common := &Training{Seeds: []int64{1}}
	var recipes func() // read when what is common is known
	keys := r.recipeKeys(common)
	keys["runs"] = func(key string, v ast.Node) {
		recipes = func() {
			r.list(v, key, func(key string, v ast.Node) { r.recipe(key, v, *common) })
		}
	}
	delete(keys, "name")
	before := len(r.faults)
	r.mapping(v, key, keys)
	switch {
	case recipes != nil:
		recipes()
	case len(r.faults) == before:
		r.fault(v, key, "needs runs: a list of recipes with a name each")
	}
}

// recipe reads one, over what all have.
func (r *reader) recipe(key string, v ast.Node, t Training) {
	if !r.isMapping(v) {
		r.fault(v, key, "must be keys with values, a name first, is %s", kind(r.plain(v)))
		return
	}
	before := len(r.faults)
	if at := v.GetToken(); at != nil {
		t.Where = fmt.Sprintf("%s:%d: %s", r.document.path, at.Position.Line, key)
	}
	t.Set = append([]string(nil), t.Set...)
	r.mapping(v, key, r.recipeKeys(&t))
	if len(r.faults) > before {
		return
	}
	if t.Name == "" {
		t.Name = t.Preset
	}
	switch {
	case t.Name == "":
		r.fault(v, key, "needs a name")
	case !recipeName.MatchString(t.Name):
		r.fault(v, key, "name is %q, want letters, digits, dots, _ and - (it is a folder's)", t.Name)
	case t.Model == "" || t.Data == "":
		r.fault(v, key, "needs a model and data, of its own or for all recipes")
	}
	for _, old := range r.spec.Training {
		if strings.EqualFold(old.Name, t.Name) {
			r.fault(v, key, "a recipe called %s is there already: give each a name", t.Name)
		}
	}
	r.spec.Training = append(r.spec.Training, &t)
	if n := len(r.spec.Runs("")); n > maxRuns {
		r.fault(v, key, "makes %d runs, more than %d", n, maxRuns)
	}
}

// maxRuns: more are not meant.
const maxRuns = 1000

// recipeKeys reads into t; lists but set replace what t has of them.
func (r *reader) recipeKeys(t *Training) map[string]func(string, ast.Node) {
	text := func(into *string) func(string, ast.Node) {
		return func(key string, v ast.Node) { *into = r.text(v, key) }
	}
	here := func(into *string) func(string, ast.Node) {
		return func(key string, v ast.Node) { *into = r.hereOrElsewhere(r.text(v, key)) }
	}
	texts := func(into *[]string, change func(key string, v ast.Node, word string) string) func(string, ast.Node) {
		return func(key string, v ast.Node) {
			*into = nil
			r.list(v, key, func(key string, v ast.Node) {
				if word := r.text(v, key); word != "" {
					*into = append(*into, change(key, v, word))
				}
			})
		}
	}
	return map[string]func(string, ast.Node){
		"name": text(&t.Name), "preset": text(&t.Preset), "model": here(&t.Model), "data": here(&t.Data),
		"config":       func(key string, v ast.Node) { t.Config = r.file(v, key) },
		"validation":   texts(&t.Validation, func(_ string, _ ast.Node, word string) string { return r.hereOrElsewhere(word) }),
		"servers":      texts(&t.Servers, func(key string, v ast.Node, word string) string { return r.url(v, key, word) }),
		"served_model": text(&t.Served),
		"steps":        func(key string, v ast.Node) { t.Steps = int(r.whole(v, key, 1, 1<<31)) },
		"set":          func(key string, v ast.Node) { r.list(v, key, r.setting(&t.Set)) },
		"seeds": func(key string, v ast.Node) {
			t.Seeds = nil
			r.list(v, key, func(key string, v ast.Node) {
				seed := r.whole(v, key, 0, 1<<62)
				for _, old := range t.Seeds {
					if old == seed {
						r.fault(v, key, "has %d twice", seed)
					}
				}
				t.Seeds = append(t.Seeds, seed)
			})
		},
		"stages": func(key string, v ast.Node) {
			t.Stages = nil
			r.list(v, key, func(key string, v ast.Node) { t.Stages = append(t.Stages, r.stage(key, v)) })
			for i, s := range t.Stages {
				if s.Steps == 0 && i < len(t.Stages)-1 {
					r.fault(v, key, "stage %d needs steps: the last alone can do without", i+1)
				}
			}
		},
	}
}

// stage reads one; max_tokens is short for what such curricula change.
func (r *reader) stage(key string, v ast.Node) (s Stage) {
	if !r.isMapping(v) {
		r.fault(v, key, "must be keys with values like {steps: 100, max_tokens: 8192}, is %s", kind(r.plain(v)))
		return s
	}
	r.mapping(v, key, map[string]func(string, ast.Node){
		"steps": func(key string, v ast.Node) { s.Steps = int(r.whole(v, key, 1, 1<<31)) },
		"max_tokens": func(key string, v ast.Node) {
			s.Set = append(s.Set, fmt.Sprintf("sampling.max_tokens=%d", r.whole(v, key, 1, 1<<31)))
		},
		"set": func(key string, v ast.Node) { r.list(v, key, r.setting(&s.Set)) },
	})
	return s
}

// Settings that a spec has keys of their own for; the run's folder is the sweep's.
var ownKeys = []string{"preset", "model", "data", "out", "server", "served_model", "seed", "steps", "validation.data"}

func (r *reader) setting(into *[]string) func(key string, v ast.Node) {
	return func(key string, v ast.Node) {
		word := r.text(v, key)
		name, _, ok := strings.Cut(word, "=")
		if word == "" {
			return
		}
		if !ok {
			r.fault(v, key, "is %q, want KEY=VALUE like update.clip_high=0.2", word)
			return
		}
		for _, own := range ownKeys {
			if name == own {
				r.fault(v, key, "%s has a key of its own in the spec, or is the sweep's", name)
			}
		}
		*into = append(*into, word)
	}
}

// hereOrElsewhere makes a path of the spec absolute, if something is there or it
// cannot be anything else; a hub's id or the name of a set stays as it is.
func (r *reader) hereOrElsewhere(word string) string {
	if word == "" || filepath.IsAbs(word) {
		return word
	}
	if _, err := os.Lstat(r.path(word)); err == nil || strings.HasPrefix(word, ".") {
		return r.path(word)
	}
	return word
}
