package journal

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Scalar is one figure under its name in the run's files.
type Scalar struct {
	Name  string
	Value float64
}

// notScalars are numbers of a step's record that are no figures of it: its own
// number, and those that only point at something.
var notScalars = []string{"step", "mismatch/worst_group", "mismatch/worst_rollout", "mismatch/worst_token"}

// Scalars returns the figures of a step under their names in steps.jsonl, in the
// order of the names: every number of the record that is not inside a list or an object of it.
func (s Step) Scalars() []Scalar {
	s.Updates, s.Servers, s.ServerEvents, s.Canary.Servers = nil, nil, nil, nil // not looked at, and long
	b, err := json.Marshal(s)
	if err != nil { // a figure that is no number; it could not have been recorded either
		return nil
	}
	return numbers(b, notScalars)
}

// Scalars returns the figures of a measurement in the order of the names:
// validation/SET, validation/SET/sampled where it was sampled too,
// validation/SET/unscored where answers were, and timing_s/validate.
func (v Validation) Scalars() []Scalar {
	var all []Scalar
	for set, share := range v.Accuracy {
		all = append(all, Scalar{"validation/" + set, share})
	}
	for set, share := range v.Sampled {
		all = append(all, Scalar{"validation/" + set + "/sampled", share})
	}
	for set, n := range v.Unscored {
		all = append(all, Scalar{"validation/" + set + "/unscored", float64(n)})
	}
	if v.Seconds > 0 {
		all = append(all, Scalar{"timing_s/validate", v.Seconds})
	}
	slices.SortFunc(all, func(a, b Scalar) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// numbers are those of a JSON object that stand in it directly.
func numbers(object []byte, but []string) []Scalar {
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return nil
	}
	var all []Scalar
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if text := fields[name]; len(text) == 0 || text[0] != '-' && (text[0] < '0' || text[0] > '9') || slices.Contains(but, name) {
			continue
		}
		var v float64
		if json.Unmarshal(fields[name], &v) == nil {
			all = append(all, Scalar{name, v})
		}
	}
	return all
}

// Clock tells when the steps of a run ended: Ended where a record has it, else,
// for runs of older versions, the run's start and the seconds of the steps up to
// it. Use one for the steps of one run, in order.
type Clock struct {
	Started time.Time // of the run
	past    time.Duration
}

// At is when s ended.
func (c *Clock) At(s Step) time.Time {
	c.past += time.Duration(s.Total * float64(time.Second))
	if !s.Ended.IsZero() {
		return s.Ended
	}
	return c.Started.Add(c.past)
}
