package sets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/sampler/dataset"
)

// Read reads the problems of a set's file in the file's order, as the authors'
// evaluation does. It takes the file's word for being that set: [Store.Check] is who
// compares checksums.
func (s Set) Read(ctx context.Context, path string) ([]benchmarks.Problem, error) {
	problems, err := read(ctx, path, s.QuestionColumn, s.AnswerColumn)
	if err == nil && len(problems) != s.Rows {
		err = fmt.Errorf("dataset %s: has %d rows, %s has %d", path, len(problems), s.Name, s.Rows)
	}
	if err != nil {
		return nil, err
	}
	return problems, nil
}

// Open reads the problems of any file that [dataset.OpenColumns] knows, in the
// file's order. With an instruction ([dataset.ParseMessage]) each has a message of its own.
func Open(ctx context.Context, path string, as dataset.Columns, instruction string) (problems []benchmarks.Problem, err error) {
	message, err := dataset.ParseMessage(instruction)
	if err != nil {
		return nil, fmt.Errorf("instruction: %w", err)
	}
	source, err := dataset.OpenColumns(ctx, path, as)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for i := range source.Len() {
		p, err := source.Problem(ctx, i)
		if err != nil {
			return nil, err
		}
		problem := benchmarks.Problem{ID: int(i), Question: strip(dataset.WithChoices(p)), Answer: strip(p.Answer)}
		if instruction != "" {
			if problem.Message, err = message.Of(p); err != nil {
				return nil, fmt.Errorf("%s: row %d: instruction: %w", path, i, err)
			}
		}
		problems = append(problems, problem)
	}
	// The columns beside them are read apart, by what they are called in the file.
	i := 0
	err = dataset.Scalars(ctx, path, func(values map[string]string) error {
		if i == len(problems) {
			return errors.New("has grown while it was read")
		}
		maps.DeleteFunc(values, func(name, _ string) bool { return isText(name) || isPart(name, as) })
		problems[i].Columns = values
		i++
		return nil
	})
	if err == nil && i != len(problems) {
		err = fmt.Errorf("dataset %s: has shrunk while it was read", path)
	}
	if err != nil {
		return nil, err
	}
	return problems, nil
}

func read(ctx context.Context, path, question, answer string) (problems []benchmarks.Problem, err error) {
	err = dataset.Scalars(ctx, path, func(values map[string]string) error {
		p := benchmarks.Problem{ID: len(problems), Columns: values}
		for _, c := range []struct {
			name string
			into *string
		}{{question, &p.Question}, {answer, &p.Answer}} {
			if *c.into = strip(values[c.name]); *c.into == "" {
				return fmt.Errorf("row %d: %s is empty or missing", p.ID, c.name)
			}
		}
		maps.DeleteFunc(values, func(name, _ string) bool { return isText(name) })
		problems = append(problems, p)
		return nil
	})
	return problems, err
}

// isText tells the columns that a question or its answer is in from those that
// results can be broken down by.
func isText(name string) bool {
	switch name {
	case verlQuestion, verlAnswer, arenaQuestion, arenaAnswer, "prompt[0].role":
		return true
	}
	return false
}

// isPart tells the columns that a problem is made of, where a file has its own.
func isPart(name string, as dataset.Columns) bool {
	within := func(column string) bool {
		rest, ok := strings.CutPrefix(name, column)
		return ok && column != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return within(as.Question) || within(as.Answer) || slices.ContainsFunc(as.Choices, within)
}

// strip removes what Python's str.strip does: unicode.IsSpace lacks four of ASCII's
// separators.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}
