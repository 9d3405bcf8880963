package rule

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// How a conversion of LaTeX can end without a text.
var (
	// errRaises: pylatexenc raises, and the definition goes on with the LaTeX itself.
	errRaises = errors.New("pylatexenc raises")
	// errUnsure: what pylatexenc does is not known here; only pylatexenc can say.
	errUnsure = errors.New("only pylatexenc can say")
)

// Python has 1,000 frames. A level of braces takes at least three of them to read
// and at most eight to read or write, and a caller has some of its own.
const (
	surelyShallow = 80
	surelyDeep    = 340
)

type nodeKind int

const (
	charsNode nodeKind = iota
	groupNode
	macroNode
	specialsNode
	mathNode
	environmentNode
)

// node is a piece of parsed LaTeX; nil is an optional argument that is not there.
type node struct {
	kind      nodeKind
	text      string // of characters and specials; the name of a macro or an environment
	list      []*node
	args      []*node // of a macro; nil if they could not be read
	bare      bool    // a macro without arguments
	postSpace string  // what follows such a macro
	display   bool    // of mathematics
}

// walker reads LaTeX as pylatexenc's tolerant LatexWalker does: what does not fit
// is passed over, what is not closed ends with the text.
type walker struct {
	s        string
	depth    int
	maxDepth int
	budget   int // of bytes looked at: reading an argument again and again is not linear
	err      error
}

// stop tells what ends a list of nodes beside the end of the text.
type stop struct {
	brace       string // } or ]
	math        string // \) or \]
	environment string
}

// parse reads s, in which there are no dollar and no percent signs.
func parse(s string) ([]*node, error) {
	if strings.ContainsAny(s, "$%") {
		return nil, errUnsure
	}
	w := &walker{s: s, budget: 40*len(s) + 1000}
	list, _ := w.nodes(0, stop{})
	if w.err == nil && w.maxDepth > surelyShallow {
		w.err = errUnsure
	}
	return list, w.err
}

// nodes reads from pos to a stop or the end, and returns where it ended.
func (w *walker) nodes(pos int, until stop) (list []*node, end int) {
	w.depth++
	defer func() { w.depth-- }()
	w.maxDepth = max(w.maxDepth, w.depth)
	if w.depth >= surelyDeep {
		w.err = errRaises
	}
	var chars strings.Builder
	flush := func(space string) {
		chars.WriteString(space)
		if chars.Len() > 0 {
			list = append(list, &node{kind: charsNode, text: chars.String()})
			chars.Reset()
		}
	}
	for {
		if w.budget < 0 {
			w.err = errUnsure
		}
		if w.err != nil {
			return nil, len(w.s)
		}
		t := w.token(pos, until.brace == "]", true)
		switch t.kind {
		case endToken:
			flush(t.preSpace)
			return list, pos + len(t.preSpace)
		case charToken:
			pos = t.end
			chars.WriteString(t.preSpace)
			chars.WriteString(t.text)
			continue
		}
		flush(t.preSpace)
		pos = t.end
		switch t.kind {
		case closeToken:
			if t.text == until.brace {
				return list, pos
			}
		case finishToken:
			if t.text == until.environment {
				return list, pos
			}
		case mathToken:
			if t.text == until.math {
				return list, pos
			}
			if t.text == `\(` || t.text == `\[` {
				n := &node{kind: mathNode, display: t.text == `\[`}
				n.list, pos = w.nodes(pos, stop{math: map[bool]string{false: `\)`, true: `\]`}[n.display]})
				list = append(list, n)
			}
		case openToken:
			var n *node
			n, pos = w.group(t)
			list = append(list, n)
		case beginToken:
			var n *node
			n, pos = w.environment(t)
			list = append(list, n)
		case macroToken:
			var n *node
			n, pos = w.macro(t)
			list = append(list, n)
		case specialsToken:
			list = append(list, &node{kind: specialsNode, text: t.text})
		}
	}
}

// group reads the group that t opens.
func (w *walker) group(t token) (*node, int) {
	closing := "}"
	if t.text == "[" {
		closing = "]"
	}
	list, end := w.nodes(t.end, stop{brace: closing})
	return &node{kind: groupNode, list: list}, end
}

func (w *walker) environment(t token) (*node, int) {
	if t.text == "verbatim" {
		w.err = errUnsure
		return nil, t.end
	}
	n := &node{kind: environmentNode, text: t.text}
	pos := t.end
	if _, end, ok := w.arguments(environmentArgs[t.text], pos, false); ok {
		pos = end
	}
	n.list, pos = w.nodes(pos, stop{environment: t.text})
	return n, pos
}

func (w *walker) macro(t token) (*node, int) {
	n := &node{kind: macroNode, text: t.text, postSpace: t.postSpace, bare: true}
	spec := macros()[t.text]
	if spec.how == byPython {
		w.err = errUnsure
		return n, t.end
	}
	args, end, ok := w.arguments(spec.args, t.end, t.text == `\`)
	if !ok {
		return n, t.end // the text ended: its arguments are read as what follows it
	}
	n.args = args
	n.bare = len(args) == 0 || strings.TrimLeft(spec.args, "*") == "[" && args[len(args)-1] == nil
	return n, end
}

// arguments reads what spec asks for; not ok if the text ends first.
func (w *walker) arguments(spec string, pos int, tight bool) (args []*node, end int, ok bool) {
	for i := 0; i < len(spec); i++ {
		if w.err != nil {
			return nil, pos, false
		}
		var arg *node
		switch spec[i] {
		case '{':
			if arg, pos, ok = w.expression(pos); !ok {
				return nil, pos, false
			}
		case '[':
			if r, _ := utf8.DecodeRuneInString(w.s[pos:]); tight && isSpace(r) {
				break
			}
			if t := w.token(pos, true, false); t.kind == openToken && t.text == "[" {
				arg, pos = w.group(t)
			}
		case '*':
			t := w.token(pos, false, true)
			if t.kind == endToken {
				return nil, pos, false
			}
			if t.kind == charToken && t.text == "*" {
				arg, pos = &node{kind: charsNode, text: "*"}, t.end
			}
		}
		args = append(args, arg)
	}
	return args, pos, true
}

// expression reads what TeX takes as one argument: a group, or a single token.
func (w *walker) expression(pos int) (n *node, end int, ok bool) {
	t := w.token(pos, false, false)
	switch t.kind {
	case endToken:
		return nil, pos, false
	case openToken:
		n, end = w.group(t)
		return n, end, true
	case closeToken:
		return &node{kind: charsNode}, t.pos, true
	case macroToken:
		if t.text == "end" {
			return &node{kind: charsNode}, t.pos, true
		}
		if macros()[t.text].how == byPython {
			w.err = errUnsure
		}
		return &node{kind: macroNode, text: t.text, bare: true}, t.end, true
	case mathToken:
		return &node{kind: charsNode}, t.end, true // an unknown macro, which has no text
	case specialsToken:
		return &node{kind: specialsNode, text: t.text}, t.end, true
	}
	return &node{kind: charsNode, text: t.text}, t.end, true
}
