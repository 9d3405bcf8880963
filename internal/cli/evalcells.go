package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/report"
	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
)

// ownSetN is how many answers a problem of the user's own set gets.
const ownSetN = 4

// measured is a set to measure.
type measured struct {
	name     string
	n        int
	problems []benchmarks.Problem
}

// evalCells are the sets under the templates, as the command line has them; files
// of problems are read as cfg says.
func evalCells(c *cli.Context, s evaluate.Sampling, cfg config.Config) ([]*evaluate.Cell, error) {
	if err := checkProblems("problems", heldOutProblems(cfg)); err != nil {
		return nil, usage(err)
	}
	templates, err := evalTemplates(c.StringSlice("template"))
	if err != nil {
		return nil, usage(err)
	}
	all, err := evalSets(c, heldOutProblems(cfg))
	if err != nil {
		return nil, err
	}
	var cells []*evaluate.Cell
	for _, tpl := range templates {
		for _, set := range all {
			name, err := generations.NewName(set.name, s.Temperature, s.TopP, set.n, s.MaxTokens)
			if err != nil {
				return nil, usage(err)
			}
			path := filepath.Join(c.String("out"), tpl.Name, name.File())
			cells = append(cells, &evaluate.Cell{
				Set: set.name, Template: tpl, Problems: set.problems, N: set.n,
				Open: func(known func(benchmarks.Generation) error) (evaluate.Store, error) {
					if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
						return nil, err
					}
					return generations.Append(path, known)
				},
			})
		}
	}
	return cells, nil
}

// writeColumns keeps what reports break results down by, of the user's own sets
// too, beside the answers.
func writeColumns(out string, cells []*evaluate.Cell) error {
	problems := map[string][]benchmarks.Problem{}
	for _, c := range cells {
		problems[c.Set] = c.Problems
	}
	return report.WriteColumns(out, problems)
}

func evalTemplates(files []string) ([]evaluate.Template, error) {
	if len(files) == 0 {
		return []evaluate.Template{{}}, nil
	}
	var out []evaluate.Template
	for _, f := range files {
		if f == evaluate.PaperName {
			out = append(out, evaluate.Template{})
			continue
		}
		t, err := evaluate.ReadTemplate(f)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// evalSets reads the problems.
func evalSets(c *cli.Context, as config.Problems) ([]measured, error) {
	var names []string
	for _, word := range c.StringSlice("bench") {
		for name := range strings.SplitSeq(word, ",") {
			if name = strings.TrimSpace(name); strings.EqualFold(name, "all") {
				names = append(names, sets.Names()...)
			} else if name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, usagef("--bench names no set; there are %s", strings.Join(sets.Names(), ", "))
	}
	var out []measured
	err := withHub(c.Context, c.App.ErrWriter, "text", func(ctx context.Context, client *hub.Client, _ *transfers) (err error) {
		out, err = openSets(ctx, c, sets.Store{Dir: c.String("data-dir"), Hub: client}, names, as)
		return err
	})
	return out, err
}

func openSets(ctx context.Context, c *cli.Context, store sets.Store, names []string, as config.Problems) ([]measured, error) {
	var out []measured
	seen := map[string]bool{}
	for _, name := range names {
		m, err := openSet(ctx, store, name, as)
		if err != nil {
			return nil, err
		}
		if seen[strings.ToLower(m.name)] {
			return nil, usagef("--bench names %s twice", m.name)
		}
		seen[strings.ToLower(m.name)] = true
		if n := c.Int("n"); n > 0 {
			m.n = n
		}
		if limit := c.Int("limit"); limit > 0 && limit < len(m.problems) {
			m.problems = m.problems[:limit]
		}
		out = append(out, m)
	}
	return out, nil
}

// openSet reads one of the nine, or a file.
func openSet(ctx context.Context, store sets.Store, name string, as config.Problems) (measured, error) {
	set, err := sets.Lookup(name)
	var unknown *sets.UnknownError
	switch {
	case err == nil:
		problems, err := store.Load(ctx, set)
		return measured{set.Name, set.K, problems}, err
	case !errors.As(err, &unknown):
		return measured{}, err
	}
	if _, statErr := os.Stat(name); statErr != nil {
		if strings.ContainsAny(name, `/\`) || filepath.Ext(name) != "" {
			return measured{}, usage(fmt.Errorf("--bench: %w", statErr))
		}
		return measured{}, usage(fmt.Errorf("--bench: %w", err))
	}
	problems, err := sets.Open(ctx, name, columns(as), as.Instruction)
	if err != nil {
		return measured{}, err
	}
	if len(problems) == 0 {
		return measured{}, fmt.Errorf("%s has no problems", name)
	}
	task := strings.ReplaceAll(setName(name, []orchestrator.HeldOut(nil)), "_", "-") // a generations file's name has its own underscores
	if set, err := sets.Lookup(task); err == nil {                                   // or it would be shown beside the paper's results
		return measured{}, usagef("--bench: %s would be called %s, which is one of the nine: rename the file, or use --bench %[2]s (--data-dir says where its file is)", name, set.Name)
	}
	return measured{task, ownSetN, problems}, nil
}
