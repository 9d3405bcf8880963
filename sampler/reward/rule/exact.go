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
