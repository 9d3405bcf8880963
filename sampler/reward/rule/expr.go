package rule

import "strings"

// An expression as sympy's parser reads it, of the kinds of which that is certain:
//
//	numbers, single letters, pi, sqrt(…), + - * / ** ^ ( ), products without a sign
//
// A product without a sign binds as one with a sign does: 1/2x is (1/2)*x.
type expr struct {
	op   byte // n number, s symbol (pi is one), r root, ~ minus sign, or + - * / ^
	text string
	args [2]*expr
}

// String is the expression with all its parentheses and signs: what two spellings
// of one tree have in common.
func (e *expr) String() string {
	var b strings.Builder
	e.write(&b)
	return b.String()
}

func (e *expr) write(b *strings.Builder) {
	switch e.op {
	case 'n', 's':
		b.WriteString(e.text)
		return
	case 'r', '~':
		b.WriteByte(e.op)
		b.WriteByte('(')
		e.args[0].write(b)
	default:
		b.WriteByte('(')
		e.args[0].write(b)
		b.WriteByte(e.op)
		e.args[1].write(b)
	}
	b.WriteByte(')')
}

// Nobody writes longer expressions by hand; sympy takes its time over them.
const (
	maxExpr      = 400 // bytes
	maxExprDepth = 20
)

// parseExpr reads s; not ok if it is not certain how sympy does.
func parseExpr(s string) (*expr, bool) {
	if len(s) == 0 || len(s) > maxExpr {
		return nil, false
	}
	p := &exprParser{s: s}
	e := p.sum(0)
	return e, e != nil && p.pos == len(s)
}

type exprParser struct {
	s   string
	pos int
}

func (p *exprParser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

// power tells whether a power sign is next: ^ is ** by then.
func (p *exprParser) power() int {
	if strings.HasPrefix(p.s[p.pos:], "**") {
		return 2
	}
	if p.peek() == '^' {
		return 1
	}
	return 0
}

func (p *exprParser) sum(depth int) *expr {
	if depth > maxExprDepth {
		return nil
	}
	e := p.product(depth)
	for e != nil && (p.peek() == '+' || p.peek() == '-') {
		op := p.peek()
		p.pos++
		right := p.product(depth)
		if right == nil {
			return nil
		}
		e = &expr{op: op, args: [2]*expr{e, right}}
	}
	return e
}

func (p *exprParser) product(depth int) *expr {
	e := p.signed(depth)
	for e != nil {
		op := p.peek()
		var right *expr
		switch {
		case p.power() > 0:
			return nil // a power of what was no atom
		case op == '*' || op == '/':
			if p.pos++; p.peek() == '/' {
				return nil
			}
			right = p.signed(depth)
		case op == '(' || isLower(op) || isDigit(op) || op == '.':
			op = '*'
			right = p.raised(depth)
		default:
			return e
		}
		if right == nil {
			return nil
		}
		e = &expr{op: op, args: [2]*expr{e, right}}
	}
	return nil
}

// signed is a factor with signs before it, which bind less than a power does.
func (p *exprParser) signed(depth int) *expr {
	if depth > maxExprDepth {
		return nil
	}
	switch p.peek() {
	case '-':
		p.pos++
		if e := p.signed(depth + 1); e != nil {
			return &expr{op: '~', args: [2]*expr{e}}
		}
		return nil
	case '+':
		p.pos++
		return p.signed(depth + 1)
	}
	return p.raised(depth)
}

func (p *exprParser) raised(depth int) *expr {
	base := p.atom(depth)
	if base == nil {
		return nil
	}
	n := p.power()
	if n == 0 {
		return base
	}
	p.pos += n
	exponent := p.signed(depth + 1)
	if exponent == nil {
		return nil
	}
	return &expr{op: '^', args: [2]*expr{base, exponent}}
}

func (p *exprParser) atom(depth int) *expr {
	c := p.peek()
	switch {
	case c == '(':
		return p.parenthesis(depth)
	case isDigit(c) || c == '.':
		return p.number()
	case !isLower(c):
		return nil
	}
	start := p.pos
	for isLower(p.peek()) {
		p.pos++
	}
	name := p.s[start:p.pos]
	next := p.peek()
	switch {
	case isDigit(next) || next == '_':
		return nil // a longer name
	case name == "sqrt" && next == '(':
		if inner := p.parenthesis(depth); inner != nil {
			return &expr{op: 'r', args: [2]*expr{inner}}
		}
	case len(name) == 1 && next != '(', name == "pi" && next != '(':
		return &expr{op: 's', text: name}
	}
	return nil
}

func (p *exprParser) parenthesis(depth int) *expr {
	p.pos++
	e := p.sum(depth + 1)
	if e == nil || p.peek() != ')' {
		return nil
	}
	p.pos++
	return e
}

// number reads a literal as Python's tokenizer does, if nothing about it is odd.
func (p *exprParser) number() *expr {
	start := p.pos
	whole := p.digits()
	fraction, point := "", p.peek() == '.'
	if point {
		p.pos++
		fraction = p.digits()
	}
	if whole+fraction == "" || len(whole) > 1 && whole[0] == '0' {
		return nil
	}
	if p.peek() == 'e' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if n := len(p.digits()); n == 0 || n > 3 {
			return nil
		}
		point = true
	}
	switch c := p.peek(); {
	case c == '.' || c == '_' || c == 'j', isLower(c) && (point || whole == "0"):
		return nil // 1.2.3, 1_000, 3j, 0x5: not what one would think
	}
	return &expr{op: 'n', text: p.s[start:p.pos]}
}

func (p *exprParser) digits() string {
	start := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	return p.s[start:p.pos]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
