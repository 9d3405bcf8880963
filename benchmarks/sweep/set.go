package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/sampler/dataset"
)

// Set is a set of problems.
type Set struct {
	Name string
	Path string // "" is one of the nine
	N    int    // answers a problem where the sampling says the paper's
	Rows int    // of the whole set
	// Columns and Instruction say how a file's rows become problems; their zero
	// values are as the paper's data have it.
	Columns     dataset.Columns
	Instruction string
}

// Open reads the problems of a set that is a file.
func (s *Set) Open(ctx context.Context) ([]benchmarks.Problem, error) {
	return sets.Open(ctx, s.Path, s.Columns, s.Instruction)
}

// ownN is how many answers a problem of the user's own set gets.
const ownN = 4

// set reads one of the nine or a file, alone or with how the file is read.
func (r *reader) set(key string, v ast.Node) {
	if !r.isMapping(v) {
		r.named(key, v, r.text(v, key))
		return
	}
	s := &Set{N: ownN}
	word, at, before := "", v, len(r.faults)
	text := func(into *string) func(string, ast.Node) {
		return func(key string, v ast.Node) { *into = r.text(v, key) }
	}
	r.mapping(v, key, map[string]func(string, ast.Node){
		"set":       func(key string, v ast.Node) { word, at = r.text(v, key), v },
		"name":      text(&s.Name),
		"question":  text(&s.Columns.Question),
		"answer":    text(&s.Columns.Answer),
		"answer_is": text(&s.Columns.AnswerIs),
		"choices": func(key string, v ast.Node) {
			r.list(v, key, func(key string, v ast.Node) { s.Columns.Choices = append(s.Columns.Choices, r.text(v, key)) })
		},
		"instruction": func(key string, v ast.Node) { s.Instruction = r.lines(v, key) },
	})
	if len(r.faults) > before {
		return
	}
	_, instruction := dataset.ParseMessage(s.Instruction)
	for _, err := range []error{s.Columns.Validate(), instruction} {
		if err != nil {
			r.fault(v, key, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	switch path := r.path(word); {
	case word == "":
		r.fault(v, key, "needs a set: one of the nine, or a .jsonl, .csv or .parquet file of problems")
	case len(r.faults) > before:
	case r.isFile(path):
		s.Path = path
		r.addFile(at, key, s)
	case s.bare():
		r.named(key, at, word)
	case isNamed(word):
		r.fault(at, key, "%s is one of the nine, whose columns are known: leave the other keys out", word)
	default:
		r.noFile(at, key, word)
	}
}

// bare: nothing is said of the file but where it is.
func (s *Set) bare() bool {
	c := s.Columns
	return s.Name == "" && s.Instruction == "" && c.Question == "" && c.Answer == "" && c.AnswerIs == "" && len(c.Choices) == 0
}

func isNamed(word string) bool {
	_, err := sets.Lookup(word)
	return err == nil || strings.EqualFold(word, allSets)
}

// allSets stands for the nine.
const allSets = "all"

// named reads a word: one of the nine, all of them, or a file with the columns
// of the paper's data.
func (r *reader) named(key string, v ast.Node, word string) {
	switch {
	case word == "":
	case strings.EqualFold(word, allSets):
		for _, s := range sets.All() {
			r.addSet(v, key, &Set{Name: s.Name, N: s.K, Rows: s.Rows})
		}
	default:
		if s, err := sets.Lookup(word); err == nil {
			r.addSet(v, key, &Set{Name: s.Name, N: s.K, Rows: s.Rows})
		} else if path := r.path(word); r.isFile(path) {
			r.addFile(v, key, &Set{Path: path, N: ownN})
		} else {
			r.noFile(v, key, word)
		}
	}
}

func (r *reader) isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// noFile says what is wrong with a word that is neither a set nor a file.
func (r *reader) noFile(v ast.Node, key, word string) {
	_, err := sets.Lookup(word)
	if strings.ContainsAny(word, `/\.`) {
		err = fmt.Errorf("there is no file %s", r.path(word))
	}
	r.fault(v, key, "%v", err)
}

// addFile looks into a file of problems and names it, if the spec does not.
func (r *reader) addFile(v ast.Node, key string, s *Set) {
	problems, err := s.Open(context.Background())
	if err != nil {
		r.fault(v, key, "%v", err)
		return
	}
	if len(problems) == 0 {
		r.fault(v, key, "%s has no problems", s.Path)
	}
	s.Rows = len(problems)
	if s.Name != "" {
		if err := ownName(s.Name); err != nil {
			r.fault(v, key, "name: %v: give another", err)
			return
		}
	} else {
		base := filepath.Base(s.Path)
		s.Name = strings.ReplaceAll(strings.TrimSuffix(base, filepath.Ext(base)), "_", "-") // a generations file's name has its own underscores
		if err := ownName(s.Name); err != nil {
			r.fault(v, key, "%s: %v: give the set another name (name: …)", s.Path, err)
			return
		}
	}
	r.addSet(v, key, s)
}

// ownName refuses what no set of the user's own can be called: its results would be
// shown beside the paper's of another set, or have no file.
func ownName(name string) error {
	if name == "" {
		return errors.New("the set has no name")
	}
	if isNamed(name) {
		return fmt.Errorf("%s is one of the nine", name)
	}
	_, err := generations.NewName(name, 0, 1, 1, 1)
	return err
}

func (r *reader) addSet(v ast.Node, key string, s *Set) {
	for _, old := range r.spec.Sets {
		if strings.EqualFold(old.Name, s.Name) {
			r.fault(v, key, "a set called %s is there already: give it a name (a file has its own, without the ending)", s.Name)
			return
		}
	}
	r.spec.Sets = append(r.spec.Sets, s)
}
