package rule

import (
	"math/big"
	"strings"
)

// A sum of products of rational numbers, roots of integers and letters, in sympy's
// own normal form, into which it brings such a sum at once.
type normalForm map[term]*big.Rat

// term is a product of letters, each as often as its power, in order, and the root
// of an integer without square factors.
type term struct {
	letters string
	root    int64
}

// maxRadicand keeps the search for square factors short.
const maxRadicand = 1 << 26

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
			if t.root > maxRadicand/u.root || len(t.letters)+len(u.letters) > 64 {
				return nil, false
			}
			outside, inside := int64(1), t.root*u.root
			if t.root > 1 && u.root > 1 {
				outside, inside = splitSquare(inside)
			}
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
