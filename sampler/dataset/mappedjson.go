package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseLine makes a problem of an object that has it in the mapping's columns.
func (m *mapping) parseLine(b []byte) (record, error) {
	if !utf8.Valid(b) {
		return record{}, errors.New("is not UTF-8")
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		return record{}, fmt.Errorf("not the JSON of a problem: %w", err)
	}
	return m.record(func(p columnPath) ([]*string, error) {
		v, err := below(top, p.steps)
		if err != nil {
			return nil, fmt.Errorf("%s %w", p.text, err)
		}
		return v, nil
	})
}

// below are the values of an object at a path.
func below(object map[string]json.RawMessage, steps []pathStep) ([]*string, error) {
	v, ok := object[steps[0].name]
	if !ok || string(v) == "null" {
		return nil, nil
	}
	if i := steps[0].index; i >= 0 {
		var list []json.RawMessage
		if json.Unmarshal(v, &list) != nil {
			return nil, fmt.Errorf("has an index where the row has no list (%s)", steps[0].name)
		}
		if i >= len(list) {
			return nil, nil
		}
		v = list[i]
	}
	return texts(v, steps[1:])
}

// texts are the values of any JSON at a path; a list is that of each element.
func texts(v json.RawMessage, steps []pathStep) (all []*string, err error) {
	switch v[0] {
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(v, &list); err != nil {
			return nil, err
		}
		for _, e := range list {
			if e[0] == '[' {
				return nil, errors.New("is a list of lists")
			}
			more, err := texts(e, steps)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	case '{':
		var object map[string]json.RawMessage
		if err := json.Unmarshal(v, &object); err != nil {
			return nil, err
		}
		if len(steps) == 0 {
			return nil, errors.New("is an object; name a field of it")
		}
		return below(object, steps)
	case 'n':
		return []*string{nil}, nil
	}
	if len(steps) > 0 {
		return nil, nil
	}
	text := string(v) // a number as it is written, true or false
	if v[0] == '"' {
		if err := json.Unmarshal(v, &text); err != nil {
			return nil, err
		}
	}
	return []*string{&text}, nil
}
