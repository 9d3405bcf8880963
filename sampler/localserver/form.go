package localserver

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// form reads the fields of a JSON object with pydantic's leniency ("3", 3.0
// and true are integers), and keeps its complaints.
type form struct {
	fields   map[string][]byte
	at       string // where the object is: "body", "body.sampling_params"
	problems *problems
}

// float reads a scanned number.
func float(raw []byte) float64 {
	switch string(raw) {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	}
	x, _ := strconv.ParseFloat(string(raw), 64) // out of range is infinite, as in Python
	return x
}

func (f *form) loc(name string) string { return f.at + "." + name }

func (f *form) kind(name string) kind { return kindOf(f.fields[name]) }

// given tells whether a field is there and not null.
func (f *form) given(name string) bool { return f.kind(name) > kindNull }

// truthy is Python's bool() of a field.
func (f *form) truthy(name string) bool {
	switch raw := f.fields[name]; kindOf(raw) {
	case kindBool:
		return raw[0] == 't'
	case kindInt, kindFloat:
		return float(raw) != 0
	case kindString:
		return len(raw) > 2
	case kindList, kindObject:
		return length(raw) > 0
	}
	return false
}

// lax is an integer as pydantic reads one, clipped to 64 bits; it complains about others.
func (p *problems) lax(raw []byte, loc string) (int64, bool) {
	const fraction = "Input should be a valid integer, got a number with a fractional part"
	switch kindOf(raw) {
	case kindBool:
		if raw[0] == 't' {
			return 1, true
		}
		return 0, true
	case kindInt:
		return clip(string(raw)), true
	case kindFloat:
		x := float(raw)
		switch {
		case math.IsNaN(x) || math.IsInf(x, 0):
			p.add("finite_number", loc, "Input should be a finite number", raw, "")
			return 0, false
		case x != math.Trunc(x):
			p.add("int_from_float", loc, fraction, raw, "")
			return 0, false
		}
		i, _ := big.NewFloat(x).Int(nil)
		return clip(i.String()), true
	case kindString:
		if i, ok := parseInt(unquote(raw)); ok {
			return i, true
		}
		p.add("int_parsing", loc, "Input should be a valid integer, unable to parse string as an integer", raw, "")
		return 0, false
	}
	p.add("int_type", loc, "Input should be a valid integer", raw, "")
	return 0, false
}

// parseInt reads the text of an integer as pydantic does: " +1_000.0" is one.
func parseInt(s string) (int64, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "+")
	if whole, fraction, ok := strings.Cut(s, "."); ok && strings.Trim(fraction, "0") == "" {
		s = whole
	}
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || strings.HasPrefix(s, "-_") {
		return 0, false
	}
	if s = strings.ReplaceAll(s, "_", ""); !isInt(s) {
		return 0, false
	}
	return clip(s), true
}

func isInt(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && len(digits) < 4300 && strings.Trim(digits, "0123456789") == ""
}

// clip parses an integer; what does not fit is the nearest that does.
func clip(s string) int64 {
	i, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return i
	}
	if strings.HasPrefix(s, "-") {
		return math.MinInt64
	}
	return math.MaxInt64
}

// integer reads a field that may be absent and, if null, null too.
func (f *form) integer(name string, null bool) *int64 {
	raw, ok := f.fields[name]
	if !ok || null && kindOf(raw) == kindNull {
		return nil
	}
	if i, ok := f.problems.lax(raw, f.loc(name)); ok {
		return &i
	}
	return nil
}

// number reads a float that may be absent or null.
func (f *form) number(name string) *float64 {
	if !f.given(name) {
		return nil
	}
	if x, ok := f.problems.laxFloat(f.fields[name], f.loc(name)); ok {
		return &x
	}
	return nil
}

func (p *problems) laxFloat(raw []byte, loc string) (float64, bool) {
	switch kindOf(raw) {
	case kindInt, kindFloat:
		return float(raw), true
	case kindBool:
		if raw[0] == 't' {
			return 1, true
		}
		return 0, true
	case kindString:
		if x, err := strconv.ParseFloat(strings.TrimSpace(unquote(raw)), 64); err == nil {
			return x, true
		}
		p.add("float_parsing", loc, "Input should be a valid number, unable to parse string as a number", raw, "")
		return 0, false
	}
	p.add("float_type", loc, "Input should be a valid number", raw, "")
	return 0, false
}

var words = map[string]bool{
	"true": true, "t": true, "yes": true, "y": true, "on": true, "1": true,
	"false": false, "f": false, "no": false, "n": false, "off": false, "0": false,
}

// flag reads a boolean that may be absent and, if null, null too.
func (f *form) flag(name string, null, otherwise bool) bool {
	raw, ok := f.fields[name]
	if !ok || null && kindOf(raw) == kindNull {
		return otherwise
	}
	switch kindOf(raw) {
	case kindBool:
		return raw[0] == 't'
	case kindInt, kindFloat:
		if x := float(raw); x == 0 || x == 1 {
			return x == 1
		}
		f.problems.add("bool_parsing", f.loc(name), "Input should be a valid boolean, unable to interpret input", raw, "")
	case kindString:
		if on, ok := words[strings.ToLower(unquote(raw))]; ok {
			return on
		}
		f.problems.add("bool_parsing", f.loc(name), "Input should be a valid boolean, unable to interpret input", raw, "")
	default:
		f.problems.add("bool_type", f.loc(name), "Input should be a valid boolean", raw, "")
	}
	return otherwise
}

// text reads a string that may be absent and, if null, null too.
func (f *form) text(name string, null bool) *string {
	raw, ok := f.fields[name]
	if !ok || null && kindOf(raw) == kindNull {
		return nil
	}
	if kindOf(raw) != kindString {
		f.problems.add("string_type", f.loc(name), "Input should be a valid string", raw, "")
		return nil
	}
	s := unquote(raw)
	return &s
}

// ids reads a list of integers that may be absent or null: then nil.
func (f *form) ids(name string) []int64 {
	if !f.given(name) {
		return nil
	}
	if f.kind(name) != kindList {
		f.problems.add("list_type", f.loc(name), "Input should be a valid list", f.fields[name], "")
		return nil
	}
	ids, n := f.problems.ints(f.fields[name], f.loc(name), false, maxIDs)
	if n > maxIDs {
		f.problems.add("too_long", f.loc(name), fmt.Sprintf("List should have at most %d items after validation, not %d", maxIDs, n), f.fields[name],
			fmt.Sprintf("'field_type': 'List', 'max_length': %d, 'actual_length': %d", maxIDs, n))
	}
	return ids
}

// maxIDs bounds lists of ids that are not prompts.
const maxIDs = 1 << 20

// ints reads a list of integers and gives the first of them, at most keep, and
// how many there are. The slice is never nil. natural ones are at least 0.
func (p *problems) ints(raw []byte, loc string, natural bool, keep int) (first []int64, n int) {
	first = []int64{}
	s := scanner{b: raw}
	s.elements(0, 0, func(x []byte) {
		at := n
		n++
		i, err := strconv.ParseInt(string(x), 10, 64)
		if err != nil || i < 0 && natural {
			where := loc + "." + strconv.Itoa(at)
			var ok bool
			if i, ok = p.lax(x, where); ok && natural && i < 0 {
				p.add("greater_than_equal", where, "Input should be greater than or equal to 0", x, "'ge': 0")
			}
		}
		if n <= keep {
			first = append(first, i)
		}
	})
	return first, n
}

// object reads an object that may be absent or null: then ok is false.
func (f *form) object(name string) (fields map[string][]byte, ok bool) {
	if !f.given(name) {
		return nil, false
	}
	if f.kind(name) != kindObject {
		f.problems.add("dict_type", f.loc(name), "Input should be a valid dictionary", f.fields[name], "")
		return nil, false
	}
	return object(f.fields[name]), true
}
