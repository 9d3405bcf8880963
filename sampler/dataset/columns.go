package dataset

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Columns says where a file has what, for files in neither of the two schemas
// that the package knows; the zero value is those.
//
// A column is a path of names, like question, qa.answer or prompt[0].content.
// A name within a list stands for that of all its elements; an index, from 0,
// picks one. In a CSV file a path is a name of the header row, as it stands.
type Columns struct {
	Question string
	Answer   string
	ID       string // "" is one of the known names, else the row's number
	// Choices are texts to choose from: one column that is a list, or several,
	// of which the last may be empty. Then the ground truth is a letter.
	Choices []string
	// AnswerIs says what Answer has, with Choices; "" is a letter.
	AnswerIs string
}

// What [Columns.AnswerIs] may be.
const (
	AnswerIsLetter = "letter" // A is the first choice, in either case
	AnswerIsIndex  = "index"  // 0 is the first choice
	AnswerIsNumber = "number" // 1 is the first choice
	AnswerIsText   = "text"   // the text of one choice
)

// OpenColumns is [Open] of a file that has its problems in other columns.
func OpenColumns(ctx context.Context, path string, c Columns) (Source, error) {
	m, err := c.mapping()
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, path, m)
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", path, plain(err))
	}
	return s, nil
}

// Validate says what is wrong with the columns, before there is a file; nil if nothing is.
func (c Columns) Validate() error {
	_, err := c.mapping()
	return err
}

// mapping is Columns, parsed; nil is the known schemas.
type mapping struct {
	question, answer columnPath
	ids              []columnPath // the first that a row has
	idNeeded         bool         // ids is one that was asked for
	choices          []columnPath
	answerIs         string
}

// idNames are the known names of a problem's ID, by precedence.
var idNames = []string{"extra_info.index", "extra_info.id", "id", "problem_idx"}

func (c Columns) mapping() (*mapping, error) {
	if c.Question == "" && c.Answer == "" && c.ID == "" && len(c.Choices) == 0 && c.AnswerIs == "" {
		return nil, nil
	}
	var errs []error
	if c.Question == "" || c.Answer == "" {
		errs = append(errs, errors.New("question and answer: other columns need both"))
	}
	if c.AnswerIs != "" && len(c.Choices) == 0 {
		errs = append(errs, errors.New("answer_is: is about choices, and there are none"))
	}
	if !slices.Contains([]string{"", AnswerIsLetter, AnswerIsIndex, AnswerIsNumber, AnswerIsText}, c.AnswerIs) {
		errs = append(errs, fmt.Errorf("answer_is: must be letter, index, number or text, is %q", c.AnswerIs))
	}
	parse := func(key, text string) columnPath {
		p, err := parsePath(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return p
	}
	m := &mapping{answerIs: c.AnswerIs}
	if c.Question != "" && c.Answer != "" {
		m.question, m.answer = parse("question", c.Question), parse("answer", c.Answer)
	}
	names := idNames
	if m.idNeeded = c.ID != ""; m.idNeeded {
		names = []string{c.ID}
	}
	for _, name := range names {
		m.ids = append(m.ids, parse("id", name))
	}
	for _, name := range c.Choices {
		m.choices = append(m.choices, parse("choices", name))
	}
	return m, errors.Join(errs...)
}

// columnPath is a column as it is written, and its steps.
type columnPath struct {
	text  string
	steps []pathStep
}

// pathStep is a name, and the element of the list that it has; -1 is all of them.
type pathStep struct {
	name  string
	index int
}

var stepForm = regexp.MustCompile(`^([^.\[\]]+)(?:\[(\d{1,9})\])?$`)

func parsePath(text string) (columnPath, error) {
	p := columnPath{text: text}
	for part := range strings.SplitSeq(text, ".") {
		m := stepForm.FindStringSubmatch(part)
		if m == nil {
			return p, fmt.Errorf("%q is no column; write it like question or prompt[0].content", text)
		}
		s := pathStep{m[1], -1}
		if m[2] != "" {
			s.index, _ = strconv.Atoi(m[2]) // digits, few
		}
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// values are what a row has at a path, nil for null; none where it has no such column.
type values func(columnPath) ([]*string, error)

// record makes a problem of a row.
func (m *mapping) record(get values) (r record, err error) {
	if r.question, err = one(get, m.question); err != nil {
		return r, err
	}
	if r.answer, err = one(get, m.answer); err != nil {
		return r, err
	}
	for _, p := range m.ids {
		v, err := get(p)
		if err != nil && m.idNeeded {
			return r, err
		}
		if len(v) == 1 && v[0] != nil && *v[0] != "" {
			r.id = *v[0]
			break
		}
		if m.idNeeded {
			return r, fmt.Errorf("%s is missing or null", p.text)
		}
	}
	if len(m.choices) > 0 {
		choices, err := m.texts(get)
		if err != nil {
			return r, err
		}
		if r.answer, err = m.letter(r.answer, choices); err != nil {
			return r, err
		}
		r.choices = lettered(choices)
	}
	return r.checked()
}

func one(get values, p columnPath) (string, error) {
	v, err := get(p)
	switch {
	case err != nil:
		return "", err
	case len(v) == 0 || len(v) == 1 && v[0] == nil:
		return "", fmt.Errorf("%s is missing or null", p.text)
	case len(v) > 1:
		return "", fmt.Errorf("%s is a list of %d; say which, with an index like [0]", p.text, len(v))
	}
	return *v[0], nil
}
