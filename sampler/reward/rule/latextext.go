package rule

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// latexText is LatexNodes2Text().latex_to_text(s) of pylatexenc 2.10, or
// [errRaises] or [errUnsure].
func latexText(s string) (string, error) {
	list, err := parse(s)
	if err != nil {
		return "", err
	}
	return (&writer{}).write(list)
}

// writer writes parsed LaTeX as text. In an equation white space is kept otherwise
// than outside.
type writer struct {
	equation bool
}

func (w *writer) write(list []*node) (string, error) {
	var b strings.Builder
	var previous *node
	for _, n := range list {
		if w.equation && n.kind == charsNode && previous != nil && previous.kind == macroNode && previous.bare {
			b.WriteString(previous.postSpace)
		}
		text, err := w.node(n)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		previous = n
	}
	return b.String(), nil
}

func (w *writer) node(n *node) (string, error) {
	if n == nil {
		return "", nil
	}
	switch n.kind {
	case charsNode:
		if w.equation && strip(n.text) == "" {
			return "", nil
		}
		return n.text, nil
	case specialsNode:
		return specialsText[n.text], nil
	case groupNode:
		return w.write(n.list)
	case macroNode:
		return w.macro(n)
	case mathNode:
		return w.math(n.list, n.display)
	case environmentNode:
		switch environmentStyles[n.text] {
		case asMatrix:
			return w.matrix(n.list)
		case asEquation:
			return w.math(n.list, true)
		case asBlock:
			text, err := w.write(n.list)
			return "\n" + text + "\n", err
		}
		return w.write(n.list)
	}
	return "", errUnsure
}

func (w *writer) math(list []*node, display bool) (string, error) {
	outside := w.equation
	w.equation = true
	text, err := w.write(list)
	w.equation = outside
	text = strip(text)
	if display {
		text = "\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
	}
	return text, err
}

func (w *writer) macro(n *node) (string, error) {
	spec := macros()[n.text]
	args := make([]string, len(n.args))
	switch spec.how {
	case "", dropped:
		return "", nil
	case asText:
		return spec.text, nil
	case byPython:
		return "", errUnsure
	}
	for i, arg := range n.args {
		var err error
		if args[i], err = w.node(arg); err != nil {
			return "", err
		}
	}
	switch spec.how {
	case byPercent:
		return percent(spec.text, args)
	case byAccent:
		return accent(spec.text, args), nil
	case byStyle:
		return strings.Map(alphabets[spec.text].letter, strings.Join(args, "")), nil
	}
	return strings.Join(args, ""), nil
}

// percent puts the arguments in place of the %s, or of the %(n)s, of format. Too
// few for %s leave the format as it is; too few for %(n)s raise.
func percent(format string, args []string) (string, error) {
	if parts := strings.Split(format, "%s"); len(parts) > 1 {
		if len(parts) != len(args)+1 {
			return format, nil
		}
		var b strings.Builder
		b.WriteString(parts[0])
		for i, arg := range args {
			b.WriteString(arg)
			b.WriteString(parts[i+1])
		}
		return b.String(), nil
	}
	before, after, _ := strings.Cut(format, "%(")
	number, after, _ := strings.Cut(after, ")s")
	i := int(number[0] - '1')
	if i >= len(args) {
		return "", errRaises
	}
	return before + args[i] + after, nil
}

// accent puts the combining mark on each character of the argument, on a space if
// there is none.
func accent(mark string, args []string) string {
	on := " "
	if len(args) > 0 {
		on = strip(args[0])
	}
	var b strings.Builder
	for _, r := range on {
		switch r {
		case 'ı':
			r = 'i'
		case 'ȷ':
			r = 'j'
		}
		b.WriteString(norm.NFC.String(string(r) + mark))
	}
	return b.String()
}

// maxMatrix is the most text that a matrix may become: its columns are all as wide
// as its widest cell.
const maxMatrix = 1 << 22

// matrix writes [ a b; c d ], every cell padded to the widest.
func (w *writer) matrix(list []*node) (string, error) {
	var rows [][]string
	var row []string
	var cell []*node
	width, cells := -1, 0
	endCell := func() error {
		if cell == nil {
			return nil // an empty cell is left out
		}
		text, err := w.write(cell)
		text = strip(text)
		row, cell = append(row, text), nil
		width, cells = max(width, utf8.RuneCountInString(text)), cells+1
		return err
	}
	for _, n := range list {
		endsRow := n.kind == macroNode && n.text == `\`
		if !endsRow && (n.kind != specialsNode || n.text != "&") {
			cell = append(cell, n)
			continue
		}
		if err := endCell(); err != nil {
			return "", err
		}
		if endsRow {
			rows, row = append(rows, row), nil
		}
	}
	if err := endCell(); err != nil {
		return "", err
	}
	rows = append(rows, row)
	if width < 0 {
		return "", errRaises // the widest of no cells
	}
	if width*cells > maxMatrix {
		return "", errUnsure
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		for j, text := range row {
			row[j] = fmt.Sprintf("%*s", width, text)
		}
		lines[i] = strings.Join(row, " ")
	}
	return "[ " + strings.Join(lines, "; ") + " ]", nil
}
