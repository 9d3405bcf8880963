package metrics

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// maxAnswer is how much of an answer Normalize looks at: what is longer is no answer.
const maxAnswer = 2000

var (
	noise    = strings.NewReplacer(`\left`, "", `\right`, "", `\dfrac`, `\frac`, `\tfrac`, `\frac`, `\!`, "", `\,`, "", `\;`, "", `\:`, "", `\ `, "", `\$`, "", "$", "", "~", "", `\%`, "%", "\u2212", "-")
	wrapped  = regexp.MustCompile(`^\\(?:text|mathrm|mathbf|textbf|boxed|fbox)\{([^{}]*)\}$`)
	grouped  = regexp.MustCompile(`^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$`)
	decimal  = regexp.MustCompile(`^[+-]?(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})$`)
	fraction = regexp.MustCompile(`^(-?)\\frac(?:\{(-?\d{1,60})\}\{(-?\d{1,60})\}|(\d)(\d))$`)
	ratio    = regexp.MustCompile(`^(-?)(-?\d{1,60})/(-?\d{1,60})()()$`)
)

// Normalize gives answers that a majority should count as one the same text:
// white space, dollar signs, \left, sizes of fractions, a wrapping \text or
// \boxed, a full stop, case and thousands commas go, and whole numbers, decimals and
// fractions of whole numbers become one reduced fraction. It decides who votes
// together, never who is right.
func Normalize(answer string) string {
	if len(answer) > maxAnswer {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(answer))) // equal to itself, and short
	}
	s := strings.Join(strings.Fields(noise.Replace(answer)), "")
	for m := wrapped.FindStringSubmatch(s); m != nil; m = wrapped.FindStringSubmatch(s) {
		s = m[1]
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if grouped.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	if decimal.MatchString(s) {
		if r, ok := new(big.Rat).SetString(s); ok {
			return r.RatString()
		}
	}
	for _, form := range []*regexp.Regexp{fraction, ratio} {
		if m := form.FindStringSubmatch(s); m != nil {
			if r, ok := new(big.Rat).SetString(m[2] + m[4] + "/" + strings.TrimPrefix(m[3]+m[5], "-")); ok {
				if (m[1] == "-") != strings.HasPrefix(m[3], "-") {
					r.Neg(r)
				}
				return r.RatString()
			}
		}
	}
	return s
}
