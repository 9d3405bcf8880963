package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/justrl/justrl/internal/numerals"
)

// shown is a text as a page can show it: characters that would not be seen, or
// would move others (bidirectional controls), become their names.
func shown(s string) string {
	if !strings.ContainsFunc(s, odd) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		if odd(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func odd(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

// short is a text in one line of at most n characters.
func short(s string, n int) string {
	if len(s) > 8*n { // what follows need not look at a megabyte
		s = s[:8*n]
	}
	s = strings.Join(strings.Fields(shown(s)), " ")
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// score is a share as the paper prints it: in percent, two decimals.
func score(share float64) string {
	if !numerals.Finite(share) {
		return numerals.None
	}
	return numerals.Signed(fmt.Sprintf("%.2f", 100*share))
}

// points is a difference of two scores, with its sign.
func points(share float64) string {
	if !numerals.Finite(share) {
		return numerals.None
	}
	return numerals.Signed(fmt.Sprintf("%+.2f", 100*share))
}

// probability is a p-value.
func probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return numerals.None
	case p < 0.001:
		return "<\u00a00.001"
	default:
		return fmt.Sprintf("%.3f", p)
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// sortedValues are a map's, by key.
func sortedValues[K cmp.Ordered, V any](m map[K]V) []V {
	var all []V
	for _, k := range sorted(m) {
		all = append(all, m[k])
	}
	return all
}
