package rule

import (
	"math/big"
	"math/rand/v2"
	"strings"
)

// rational is e as a fraction, if it is made of integers alone.
func (e *expr) rational() (*big.Rat, bool) {
	switch e.op {
	case 'n':
		if !plainInt(e.text) {
			return nil, false
		}
		i, ok := new(big.Int).SetString(e.text, 10)
		return new(big.Rat).SetInt(i), ok
	case 's', 'r':
		return nil, false
	}
	a, ok := e.args[0].rational()
	if !ok {
		return nil, false
	}
	switch e.op {
	case '~':
		return a.Neg(a), true
	case '^':
		n, ok := e.args[1].smallInt()
		if !ok || a.Sign() == 0 {
			return nil, false
		}
		if n < 0 {
			a, n = a.Inv(a), -n
		}
		p := big.NewRat(1, 1)
		for range n {
			if p.Mul(p, a); p.Num().BitLen()+p.Denom().BitLen() > 4000 {
				return nil, false
			}
		}
		return p, true
	}
	b, ok := e.args[1].rational()
	if !ok {
		return nil, false
	}
	switch e.op {
	case '+':
		return a.Add(a, b), true
	case '-':
		return a.Sub(a, b), true
	case '*':
		return a.Mul(a, b), true
	}
	if b.Sign() == 0 {
		return nil, false
	}
	return a.Quo(a, b), true
}

// decimal is a decimal literal, perhaps with signs, as a fraction and the number of
// bits that sympy keeps of it.
func (e *expr) decimal() (x *big.Rat, bits uint, ok bool) {
	if e.op == '~' {
		if x, bits, ok = e.args[0].decimal(); ok {
			x.Neg(x)
		}
		return x, bits, ok
	}
	if e.op != 'n' || plainInt(e.text) {
		return nil, 0, false
	}
	if x, ok = new(big.Rat).SetString(e.text); !ok {
		return nil, 0, false
	}
	// As many decimal digits as are written, zeros before the first other one left
	// out, are kept; 15 at least. More of them are sympy's business.
	mantissa, _, _ := strings.Cut(e.text, "e")
	if len(strings.TrimLeft(strings.Replace(mantissa, ".", "", 1), "0")) > 15 || x.IsInt() && !strings.Contains(e.text, ".") && len(x.Num().String()) > 15 {
		return nil, 0, false
	}
	return x, 53, true
}

// sameFloat tells whether the difference of a decimal literal and another one, or
// a fraction, is zero in sympy's arithmetic: both are rounded to nearest first.
func sameFloat(a, b *big.Rat, bits uint) bool {
	round := func(x *big.Rat) *big.Float { return new(big.Float).SetPrec(bits).SetMode(big.ToNearestEven).SetRat(x) }
	return round(a).Cmp(round(b)) == 0
}

// A sum of products of rational numbers, roots of integers and letters, in sympy's
// own normal form, into which it brings such a sum at once.
type normalForm map[term]*big.Rat

// term is a product of letters, each as often as its power, in order, and the root
// of an integer without square factors.
type term struct {
	letters string
	root    int64
}

const maxRadicand = 1 << 40

// normalForm is e's, if sympy brings it there without being asked to expand
// anything: of the factors of a product at most one is a sum, and the other a number.
func (e *expr) normalForm() (normalForm, bool) {
	switch e.op {
	case 'n':
		x, ok := e.rational()
		return normalForm{{root: 1}: x}.clean(), ok
	case 's':
		if e.text == "pi" {
			return normalForm{{letters: "π", root: 1}: big.NewRat(1, 1)}, true
		}
		return normalForm{{letters: e.text, root: 1}: big.NewRat(1, 1)}, true
	case 'r':
		x, ok := e.args[0].rational()
		if !ok || x.Sign() <= 0 {
			return nil, false
		}
		return rootOf(x)
	}
	a, ok := e.args[0].normalForm()
	if !ok {
		return nil, false
	}
	switch e.op {
	case '~':
		return a.scale(big.NewRat(-1, 1)), true
	case '^':
		n, ok := e.args[1].smallInt()
		if !ok || n < 1 || n > 12 || len(a) != 1 {
			return nil, false
		}
		p := a
		for range n - 1 {
			if p, ok = p.times(a); !ok {
				return nil, false
			}
		}
		return p, true
	}
	b, ok := e.args[1].normalForm()
	if !ok {
		return nil, false
	}
	switch e.op {
	case '-':
		b = b.scale(big.NewRat(-1, 1))
		fallthrough
	case '+':
		for t, x := range a {
			if y := b[t]; y != nil {
				x = new(big.Rat).Add(x, y)
			}
			b[t] = x
		}
		return b.clean(), true
	case '*':
		return a.times(b)
	}
	// Division: by a number, or by a number and a root.
	if len(b) != 1 {
		return nil, false
	}
	for t, x := range b {
		if t.letters != "" {
			return nil, false
		}
		inverse := normalForm{t: new(big.Rat).Inv(new(big.Rat).Mul(x, big.NewRat(t.root, 1)))}
		return a.times(inverse)
	}
	return nil, false
}

func (f normalForm) clean() normalForm {
	for t, x := range f {
		if x == nil || x.Sign() == 0 {
			delete(f, t)
		}
	}
	return f
}

func (f normalForm) scale(by *big.Rat) normalForm {
	g := normalForm{}
	for t, x := range f {
		g[t] = new(big.Rat).Mul(x, by)
	}
	return g
}

func (f normalForm) times(g normalForm) (normalForm, bool) {
	if len(f) != 1 {
		f, g = g, f
	}
	if len(f) != 1 {
		return normalForm{}, len(f) == 0 // zero, or two sums
	}
	product := normalForm{}
	for t, x := range f {
		if len(g) > 1 && t != (term{root: 1}) {
			return nil, false
		}
		for u, y := range g {
			if t.root*u.root > maxRadicand || len(t.letters)+len(u.letters) > 64 {
				return nil, false
			}
			outside, inside := splitSquare(t.root * u.root)
			v := term{letters: merge(t.letters, u.letters), root: inside}
			product[v] = new(big.Rat).Mul(new(big.Rat).Mul(x, y), big.NewRat(outside, 1))
		}
	}
	return product, true
}

// merge puts two ordered products of letters together.
func merge(a, b string) string {
	var out strings.Builder
	x, y := []rune(a), []rune(b)
	for len(x) > 0 && len(y) > 0 {
		if x[0] <= y[0] {
			out.WriteRune(x[0])
			x = x[1:]
		} else {
			out.WriteRune(y[0])
			y = y[1:]
		}
	}
	return out.String() + string(x) + string(y)
}

// rootOf is the root of p/q as r·√n.
func rootOf(x *big.Rat) (normalForm, bool) {
	n := new(big.Int).Mul(x.Num(), x.Denom())
	if !n.IsInt64() || n.Int64() > maxRadicand || !x.Denom().IsInt64() {
		return nil, false
	}
	outside, inside := splitSquare(n.Int64())
	return normalForm{{root: inside}: big.NewRat(outside, x.Denom().Int64())}, true
}

// splitSquare writes n as outside² · inside, inside without square factors, n ≤ maxRadicand.
func splitSquare(n int64) (outside, inside int64) {
	outside, inside = 1, n
	for d := int64(2); d*d <= inside; d++ {
		for inside%(d*d) == 0 {
			inside /= d * d
			outside *= d
		}
	}
	return outside, inside
}

func (f normalForm) equal(g normalForm) bool {
	if len(f) != len(g) {
		return false
	}
	for t, x := range f {
		if y := g[t]; y == nil || x.Cmp(y) != 0 {
			return false
		}
	}
	return true
}

// prime is a Mersenne prime: rational functions that are not the same agree at a
// random point modulo it with a probability of their degree over it.
const prime = 1<<61 - 1

// sameRational tells whether two expressions of integers, letters and pi, without
// roots and decimals, are the same rational function. sympy's cancel, which simplify
// begins with, makes their difference zero then.
func sameRational(a, b *expr) bool {
	p := new(big.Int).SetInt64(prime)
	for range 2 {
		values := map[string]*big.Int{}
		point := func(symbol string) *big.Int {
			if values[symbol] == nil {
				values[symbol] = big.NewInt(rand.Int64N(prime))
			}
			return values[symbol]
		}
		x, ok := a.modulo(p, point)
		if !ok {
			return false
		}
		y, ok := b.modulo(p, point)
		if !ok || x.Cmp(y) != 0 {
			return false
		}
	}
	return true
}

// modulo is e at a point modulo p; not ok if it has something beside rational
// operations, or a divisor that is zero there.
func (e *expr) modulo(p *big.Int, point func(string) *big.Int) (*big.Int, bool) {
	switch e.op {
	case 'n':
		if !plainInt(e.text) {
			return nil, false
		}
		i, ok := new(big.Int).SetString(e.text, 10)
		return i.Mod(i, p), ok
	case 's':
		return new(big.Int).Set(point(e.text)), true
	case 'r':
		return nil, false
	}
	a, ok := e.args[0].modulo(p, point)
	if !ok {
		return nil, false
	}
	switch e.op {
	case '~':
		return a.Mod(a.Neg(a), p), true
	case '^':
		n, ok := e.args[1].smallInt()
		if !ok || n < -12 || n > 12 || a.Sign() == 0 {
			return nil, false
		}
		return a.Exp(a, big.NewInt(int64(n)), p), true
	}
	b, ok := e.args[1].modulo(p, point)
	if !ok {
		return nil, false
	}
	switch e.op {
	case '+':
		a.Add(a, b)
	case '-':
		a.Sub(a, b)
	case '*':
		a.Mul(a, b)
	default:
		if b.Sign() == 0 {
			return nil, false
		}
		a.Mul(a, b.ModInverse(b, p))
	}
	return a.Mod(a, p), true
}
