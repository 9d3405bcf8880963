package journal

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
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
// order of the names: every number of the record that is not inside a list or an
// object of it. One that is no finite number is left out.
func (s Step) Scalars() []Scalar {
	fields := stepFields()
	all := make([]Scalar, 0, len(fields))
	v := reflect.ValueOf(&s).Elem()
	for _, f := range fields {
		number, err := v.FieldByIndexErr(f.index)
		if err != nil || f.omitEmpty && number.IsZero() { // of a part that the record has not
			continue
		}
		var x float64
		if number.CanInt() {
			x = float64(number.Int())
		} else {
			x = number.Float()
		}
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			all = append(all, Scalar{f.name, x})
		}
	}
	return all
}

// field is a number of a record.
type field struct {
	name      string
	index     []int
	omitEmpty bool
}

// stepFields are those of [Step], found once: a run asks for them at every step.
var stepFields = sync.OnceValue(func() []field {
	all := numbersOf(reflect.TypeFor[Step](), nil)
	slices.SortFunc(all, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	return all
})

// numbersOf are the fields of a struct that encoding/json writes as numbers, of the structs embedded in it too.
func numbersOf(t reflect.Type, index []int) (all []field) {
	for f := range t.Fields() {
		at := append(slices.Clone(index), f.Index...)
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			all = append(all, numbersOf(inner, at)...)
		case name == "" || name == "-" || slices.Contains(notScalars, name):
		case f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Int64 || f.Type.Kind() == reflect.Float64:
			all = append(all, field{name, at, strings.Contains(options, "omitempty")})
		}
	}
	return all
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
