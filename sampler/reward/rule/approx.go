package rule

import (
	"math"
	"strconv"
)

// approx is a number that lies within err of val.
type approx struct {
	val, err float64
}

// unit is what one rounding changes at most, of a number of size one, doubled.
const unit = 0x1p-51

// maxPower bounds the exponents that are looked at.
const maxPower = 64

func rounded(val, err float64) (approx, bool) {
	a := approx{val, err + math.Abs(val)*unit}
	return a, !math.IsNaN(a.err) && !math.IsInf(a.err, 0)
}

// evaluate is e where its letters have the given values; not ok where it has no
// real value, an endless one, or one that is not known well.
func (e *expr) evaluate(point func(symbol string) float64) (approx, bool) {
	switch e.op {
	case 'n':
		x, err := strconv.ParseFloat(e.text, 64)
		if err != nil {
			return approx{}, false
		}
		return rounded(x, 0)
	case 's':
		if e.text == "pi" {
			return rounded(math.Pi, 0)
		}
		return rounded(point(e.text), 0)
	}
	a, ok := e.args[0].evaluate(point)
	if !ok {
		return a, false
	}
	switch e.op {
	case '~':
		return approx{-a.val, a.err}, true
	case 'r':
		if a.val <= 4*a.err {
			return a, false
		}
		root := math.Sqrt(a.val)
		return rounded(root, a.err/root)
	case '^':
		n, ok := e.args[1].smallInt()
		if !ok {
			return a, false
		}
		return a.power(n)
	}
	b, ok := e.args[1].evaluate(point)
	if !ok {
		return b, false
	}
	switch e.op {
	case '+':
		return rounded(a.val+b.val, a.err+b.err)
	case '-':
		return rounded(a.val-b.val, a.err+b.err)
	case '*':
		return a.times(b)
	}
	return a.over(b)
}

func (a approx) times(b approx) (approx, bool) {
	return rounded(a.val*b.val, math.Abs(a.val)*b.err+math.Abs(b.val)*a.err+a.err*b.err)
}

func (a approx) over(b approx) (approx, bool) {
	away := math.Abs(b.val) - b.err
	if away <= b.err {
		return a, false
	}
	q := a.val / b.val
	return rounded(q, (a.err+math.Abs(q)*b.err)/away)
}

func (a approx) power(n int) (approx, bool) {
	p := approx{val: 1}
	for range max(n, -n) {
		next, ok := p.times(a)
		if !ok {
			return a, false
		}
		p = next
	}
	if n < 0 {
		return approx{val: 1}.over(p)
	}
	return p, true
}

// smallInt is the value of an exponent that is an integer of a size one expects.
func (e *expr) smallInt() (int, bool) {
	if e.op == '~' {
		n, ok := e.args[0].smallInt()
		return -n, ok
	}
	if e.op != 'n' {
		return 0, false
	}
	n, err := strconv.Atoi(e.text)
	return n, err == nil && n <= maxPower
}

// apart tells whether two expressions certainly differ at some point. sympy's
// simplify, which changes no value, cannot make their difference zero then.
func apart(a, b *expr) bool {
	for shift := range 3 {
		point := func(symbol string) float64 {
			// Numbers without a relation to one another or to pi, near one.
			return 0.37 + math.Mod(float64(symbol[0])*math.Sqrt2+float64(shift)*math.Sqrt(5), 1.3)
		}
		x, ok := a.evaluate(point)
		if !ok {
			continue
		}
		y, ok := b.evaluate(point)
		if !ok {
			continue
		}
		const margin = 1e-9 // far more than what rounding does to sympy's own floats
		if math.Abs(x.val-y.val) > 16*(x.err+y.err)+margin*(math.Abs(x.val)+math.Abs(y.val)) {
			return true
		}
	}
	return false
}
