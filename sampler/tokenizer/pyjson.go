package tokenizer

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// pyJSON is Python's json.dumps(v, ensure_ascii=False). Mappings are refused:
// Python writes them in the order of insertion, which Go's maps do not have.
func pyJSON(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case *exec.Value:
		return pyJSON(v.Interface())
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return pyQuote(r.String()), nil
	case reflect.Bool:
		return strconv.FormatBool(r.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), nil
	case reflect.Float32, reflect.Float64:
		return pyFloat(r.Float()), nil
	case reflect.Slice, reflect.Array:
		items := make([]string, r.Len())
		for i := range items {
			var err error
			if items[i], err = pyJSON(r.Index(i).Interface()); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(items, ", ") + "]", nil
	}
	return "", fmt.Errorf("a %T is not supported", v)
}

// pyFloat is Python's repr of a finite float, and what json.dumps makes of the others.
func pyFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func pyQuote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\b':
			out.WriteString(`\b`)
		case r == '\f':
			out.WriteString(`\f`)
		case r < 0x20:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}
