package sweep

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSpec bounds a spec's size in bytes.
const maxSpec = 1 << 20

// document reads a YAML file and gathers its faults instead of ending at the
// first: a decoder into structs would.
type document struct {
	path    string
	faults  []error
	anchors map[string]ast.Node
	bad     map[ast.Node]bool // of which one fault is enough
}

// fault notes what is wrong at a node, under a key.
func (d *document) fault(at ast.Node, key, format string, args ...any) {
	if at != nil && d.bad[at] {
		return
	}
	where := d.path
	if at != nil && at.GetToken() != nil {
		where = fmt.Sprintf("%s:%d", d.path, at.GetToken().Position.Line)
	}
	if key != "" {
		where += ": " + key
	}
	d.faults = append(d.faults, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// parse returns the one mapping that a file is; nil after a fault.
func (d *document) parse(text []byte) (root ast.Node) {
	defer func() {
		if r := recover(); r != nil { // the library's, on odd documents
			d.fault(nil, "", "cannot be read as YAML: %v", r)
			root = nil
		}
	}()
	if len(text) > maxSpec {
		d.fault(nil, "", "is larger than %d bytes: not a sweep's spec", maxSpec)
		return nil
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		var y yaml.Error
		if !errors.As(err, &y) {
			d.fault(nil, "", "%s", firstLine(err))
			return nil
		}
		what, _, _ := strings.Cut(y.GetMessage(), "\n")
		d.faults = append(d.faults, fmt.Errorf("%s:%d: %s", d.path, y.GetToken().Position.Line, what))
		return nil
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		d.fault(nil, "", "must be one YAML document, is %d", len(f.Docs))
		return nil
	}
	return f.Docs[0].Body
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// plain is the node that is meant: anchors and aliases are looked through.
func (d *document) plain(n ast.Node) ast.Node {
	for range 100 { // an alias inside its own anchor would go on for ever
		switch v := n.(type) {
		case *ast.AnchorNode:
			if d.anchors == nil {
				d.anchors = map[string]ast.Node{}
			}
			d.anchors[v.Name.GetToken().Value] = v.Value
			n = v.Value
		case *ast.AliasNode:
			name := v.Value.GetToken().Value
			to, ok := d.anchors[name]
			if !ok {
				d.fault(v, "", "there is no anchor &%s before this", name)
				if d.bad == nil {
					d.bad = map[ast.Node]bool{}
				}
				d.bad[v] = true
				return nil
			}
			n = to
		default:
			return n
		}
	}
	d.fault(n, "", "is an alias of itself")
	return nil
}

// mapping hands each key's value to its reader; a key that has none is a fault.
func (d *document) mapping(n ast.Node, under string, read map[string]func(key string, v ast.Node)) {
	var values []*ast.MappingValueNode
	switch m := d.plain(n).(type) {
	case nil:
		return
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.fault(n, under, "must be keys with values, is %s", kind(m))
		return
	}
	for _, v := range values {
		name := v.Key.GetToken().Value
		key := strings.TrimPrefix(under+"."+name, ".")
		to, ok := read[name]
		if !ok {
			known := make([]string, 0, len(read))
			for k := range read {
				known = append(known, k)
			}
			slices.Sort(known)
			d.fault(v.Key, "", "unknown key %s; there are %s", key, strings.Join(known, ", "))
			continue
		}
		to(key, v.Value)
	}
}

// list calls read for each entry, or for the value itself if it is no list.
func (d *document) list(n ast.Node, key string, read func(key string, v ast.Node)) {
	s, ok := d.plain(n).(*ast.SequenceNode)
	if !ok {
		read(key, n)
		return
	}
	if len(s.Values) == 0 {
		d.fault(n, key, "is empty: leave the key out, or give it a value")
	}
	for i, v := range s.Values {
		read(fmt.Sprintf("%s[%d]", key, i), v)
	}
}

// isMapping tells keys with values from a scalar.
func (d *document) isMapping(n ast.Node) bool {
	switch d.plain(n).(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// text reads a string that is not empty. Numbers are taken as they are written.
func (d *document) text(n ast.Node, key string) string {
	switch v := d.plain(n).(type) {
	case *ast.StringNode:
		if v.Value != "" && !strings.ContainsAny(v.Value, "\x00\n") {
			return v.Value
		}
		d.fault(n, key, "must be a text of one line that is not empty")
	case *ast.IntegerNode:
		return v.Token.Value
	case *ast.FloatNode:
		return v.Token.Value
	case nil:
		d.fault(n, key, "must be a text, is nothing")
	default:
		d.fault(n, key, "must be a text, is %s", kind(v))
	}
	return ""
}

// lines reads a text that may have several, and is not empty.
func (d *document) lines(n ast.Node, key string) string {
	if v, ok := d.plain(n).(*ast.LiteralNode); ok {
		n = v.Value
	}
	if v, ok := d.plain(n).(*ast.StringNode); ok && strings.Contains(v.Value, "\n") && strings.TrimSpace(v.Value) != "" && !strings.Contains(v.Value, "\x00") {
		return strings.TrimSuffix(v.Value, "\n")
	}
	return d.text(n, key)
}

// number reads a finite number that ok accepts; want says which.
func (d *document) number(n ast.Node, key, want string, ok func(float64) bool) float64 {
	var x float64
	switch v := d.plain(n).(type) {
	case *ast.IntegerNode:
		switch i := v.Value.(type) {
		case int64:
			x = float64(i)
		case uint64:
			x = float64(i)
		}
	case *ast.FloatNode:
		x = v.Value
	default:
		d.fault(n, key, "must be a number %s, is %s", want, kind(v))
		return 0
	}
	if math.IsNaN(x) || math.IsInf(x, 0) || !ok(x) {
		d.fault(n, key, "must be %s, is %v", want, x)
	}
	return x
}

// whole reads a whole number in [least, most].
func (d *document) whole(n ast.Node, key string, least, most int64) int64 {
	v, isInt := d.plain(n).(*ast.IntegerNode)
	if !isInt {
		d.fault(n, key, "must be a whole number, is %s", kind(d.plain(n)))
		return least
	}
	var x int64
	switch i := v.Value.(type) {
	case int64:
		x = i
	case uint64:
		x = int64(min(i, math.MaxInt64))
		if i > math.MaxInt64 {
			d.fault(n, key, "must be at most %d", most)
			return least
		}
	}
	if x < least || x > most {
		d.fault(n, key, "must be from %d to %d, is %d", least, most, x)
		return least
	}
	return x
}

// flag reads true or false.
func (d *document) flag(n ast.Node, key string) bool {
	if v, ok := d.plain(n).(*ast.BoolNode); ok {
		return v.Value
	}
	d.fault(n, key, "must be true or false, is %s", kind(d.plain(n)))
	return false
}

// kind names what stands there instead of what is wanted.
func kind(n ast.Node) string {
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("%q", v.Value)
	case *ast.TagNode:
		return "a tag"
	default:
		return n.GetToken().Value
	}
}
