package reward

import (
	"context"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = (*Numeric)(nil)

// Numeric accepts a number, in the text's last box or after its last
// "answer:", that differs from the ground truth by at most the larger of an
// absolute tolerance and a relative one times the truth's size. Numbers are
// exact fractions, so that without tolerance 0.1 is 1/10 and nothing else.
//
// It reads 1234.5, 1,234.5, 1 234.5, -3/4, \frac{3}{4}, 1 1/2, 50%, $12, 1.5e3,
// 1.5 \times 10^{3}, with LaTeX's spaces or dollar signs around. 3,14 is no number. A
// percentage is a hundredth: 50% is 0.5, not 50. A ground truth that is no
// number is an error. The reward is +1 or -1; Score.Answer is the answer as it
// was written.
type Numeric struct {
	abs, rel *big.Rat // nil is 0
}

// NewNumeric takes the tolerances, each at least 0 and finite.
func NewNumeric(abs, rel float64) *Numeric { return &Numeric{decimal(abs), decimal(rel)} }

// decimal is the number that a user wrote, not the float next to it.
func decimal(x float64) *big.Rat {
	r, _ := new(big.Rat).SetString(strconv.FormatFloat(x, 'g', -1, 64))
	return r
}

// Verify does not block.
func (n *Numeric) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	want, ok := number(truth)
	if !ok {
		return sampler.Score{}, fmt.Errorf("numeric: the ground truth must be a number, is %.60q", truth)
	}
	answer, _ := lastAnswer(text)
	got, ok := number(answer)
	return verdict(ok && n.near(got, want), answer), nil
}

func (n *Numeric) near(got, want *big.Rat) bool {
	gap := new(big.Rat).Sub(got, want)
	gap.Abs(gap)
	if n.abs != nil && gap.Cmp(n.abs) <= 0 {
		return true
	}
	allowed := new(big.Rat)
	if n.rel != nil {
		allowed.Abs(want).Mul(allowed, n.rel)
	}
	return gap.Cmp(allowed) <= 0
}

// What is longer, or has a larger exponent, is no number: 1e999999999 would
// take all memory to write out.
const (
	maxNumber   = 200  // bytes
	maxExponent = 1000 // of ten
)

var (
	latexSpace    = strings.NewReplacer(`\,`, "", `\!`, "", `\;`, "", `\:`, "", `\ `, " ", "~", " ", "{,}", ",", `\%`, "%", `\$`, "", "$", "", "−", "-", "–", "-", "€", "", "£", "", "¥", "")
	latexFraction = regexp.MustCompile(`\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}`)
	timesTen      = regexp.MustCompile(`\s*(?:\\times|\\cdot|×|·|\*)\s*10\s*\^\s*\{?\s*([+-]?\d+)\s*\}?$`)
	plainNumber   = regexp.MustCompile(`^(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,9}))?$`)
	commas        = regexp.MustCompile(`^\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:e[+-]?\d+)?$`)
	spaces        = regexp.MustCompile(`^\d{1,3}(?:[ \x{a0}\x{2009}\x{202f}]\d{3})+(?:\.\d+)?$`)
	mixed         = regexp.MustCompile(`^(\d+)\s+(\d+\s*/\s*\d+)$`)
)

// number reads one number, with nothing beside it.
func number(s string) (*big.Rat, bool) {
	if len(s) > maxNumber {
		return nil, false
	}
	s = latexText.ReplaceAllString(s, "$1")
	s = strings.TrimSpace(latexSpace.Replace(s))
	s = latexFraction.ReplaceAllString(s, " $1/$2")
	s = timesTen.ReplaceAllString(s, "e$1")
	s = strings.TrimSpace(strings.TrimSuffix(s, "."))
	s, percent := strings.CutSuffix(s, "%")
	s = strings.TrimSpace(s)
	s, negative := strings.CutPrefix(s, "-")
	if !negative {
		s = strings.TrimPrefix(s, "+")
	}
	x, ok := unsigned(strings.TrimSpace(s))
	if !ok {
		return nil, false
	}
	if percent {
		x.Mul(x, big.NewRat(1, 100))
	}
	if negative {
		x.Neg(x)
	}
	return x, true
}

func unsigned(s string) (*big.Rat, bool) {
	whole := new(big.Rat)
	if m := mixed.FindStringSubmatch(s); m != nil {
		whole.SetString(m[1])
		s = m[2]
	}
	over, under, fraction := strings.Cut(s, "/")
	x, ok := digits(strings.TrimSpace(over))
	if !ok {
		return nil, false
	}
	if fraction {
		y, ok := digits(strings.TrimSpace(under))
		if !ok || y.Sign() == 0 {
			return nil, false
		}
		x.Quo(x, y)
	}
	return x.Add(x, whole), true
}

// digits reads a decimal number without a sign.
func digits(s string) (*big.Rat, bool) {
	switch {
	case commas.MatchString(s):
		s = strings.ReplaceAll(s, ",", "")
	case spaces.MatchString(s):
		s = strings.Join(strings.Fields(s), "")
	}
	m := plainNumber.FindStringSubmatch(s)
	if m == nil {
		return nil, false
	}
	if m[1] != "" {
		if e, err := strconv.Atoi(m[1]); err != nil || e > maxExponent || e < -maxExponent {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}
