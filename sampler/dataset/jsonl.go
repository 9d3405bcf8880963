package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// maxLine bounds a line of JSON, and a row of the other formats, in bytes; real problems
// have a few kB.
const maxLine = 16 << 20

var utf8BOM = []byte("\xef\xbb\xbf")

// readJSONL reads the known schemas.
func readJSONL(f io.ReaderAt, size int64, add func(record) error) error {
	return jsonlReader(parseLine)(f, size, add)
}

// jsonlReader reads one object a line; blank lines are skipped.
func jsonlReader(parse func([]byte) (record, error)) reader {
	return func(f io.ReaderAt, size int64, add func(record) error) error { return eachLine(f, size, parse, add) }
}

func eachLine(f io.ReaderAt, size int64, parse func([]byte) (record, error), add func(record) error) error {
	sc := bufio.NewScanner(io.NewSectionReader(f, 0, size))
	sc.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	for sc.Scan() {
		line := sc.Bytes()
		if n++; n == 1 {
			line = bytes.TrimPrefix(line, utf8BOM)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		r, err := parse(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := add(r); err != nil {
			return err
		}
	}
	return lineError(sc.Err(), n+1)
}

// lineError says where a scanner of lines gave up.
func lineError(err error, line int) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: is longer than %d bytes; write one object a line", line, maxLine)
	}
	return err
}

// line is the union of both schemas.
type line struct {
	Prompt      []message `json:"prompt"`
	RewardModel struct {
		GroundTruth *scalar `json:"ground_truth"`
	} `json:"reward_model"`
	Problem   *string `json:"problem"`
	Answer    *scalar `json:"answer"`
	ExtraInfo struct {
		Index scalar `json:"index"`
		ID    scalar `json:"id"`
	} `json:"extra_info"`
	ID         scalar `json:"id"`
	ProblemIdx scalar `json:"problem_idx"`
}

type message struct {
	Content *string `json:"content"`
	Role    *string `json:"role"`
}

// scalar is a JSON string or a number as it is written; null and absent are "".
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(b []byte) error {
	switch {
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(s))
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		*s = scalar(b)
	case b[0] != 'n':
		return fmt.Errorf("want a string or a number, have %.20s", b)
	}
	return nil
}

func parseLine(b []byte) (record, error) {
	if !utf8.Valid(b) {
		return record{}, errors.New("is not UTF-8")
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return record{}, fmt.Errorf("not the JSON of a problem: %w", err)
	}
	r := record{id: string(firstNonZero(l.ExtraInfo.Index, l.ExtraInfo.ID, l.ID, l.ProblemIdx))}
	switch {
	case l.Prompt != nil && l.RewardModel.GroundTruth != nil:
		content, err := userContent(l.Prompt)
		if err != nil {
			return record{}, err
		}
		r.question, r.answer = content, string(*l.RewardModel.GroundTruth)
	case l.Problem != nil && l.Answer != nil:
		r.question, r.answer = *l.Problem, string(*l.Answer)
	default:
		return record{}, missing(fields(b))
	}
	return r.checked()
}

// userContent is the content of a prompt that is one user message.
func userContent(prompt []message) (string, error) {
	if len(prompt) != 1 {
		return "", fmt.Errorf("prompt has %d messages; only a single user message can be rendered", len(prompt))
	}
	m := prompt[0]
	if m.Role != nil && *m.Role != "user" {
		return "", fmt.Errorf("prompt[0].role is %q; only a single user message can be rendered", *m.Role)
	}
	if m.Content == nil {
		return "", errors.New("prompt[0].content is missing")
	}
	return *m.Content, nil
}

// checked takes the instruction off and refuses what cannot be trained on.
func (r record) checked() (record, error) {
	r.question = bare(r.question)
	if len(bytes.TrimSpace([]byte(r.question))) == 0 {
		return record{}, errors.New("the problem is empty")
	}
	if r.answer == "" {
		return record{}, errors.New("the answer is empty")
	}
	return r, nil
}

// fields are the names of an object's members, sorted, two levels deep, nulls marked.
func fields(b []byte) []string {
	var top map[string]json.RawMessage
	if json.Unmarshal(b, &top) != nil {
		return nil
	}
	var names []string
	for k, v := range top {
		var in map[string]json.RawMessage
		if json.Unmarshal(v, &in) != nil || len(in) == 0 {
			names = append(names, k+null(v))
		}
		for f, v := range in {
			names = append(names, k+"."+f+null(v))
		}
	}
	slices.Sort(names)
	return names
}

func null(v json.RawMessage) string {
	if string(v) == "null" {
		return " (null)"
	}
	return ""
}

func firstNonZero[T comparable](xs ...T) (zero T) {
	for _, x := range xs {
		if x != zero {
			return x
		}
	}
	return zero
}
