package rule

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// stringInt reads s as a number that is within 1e-7 of an integer, commas between
// thousands left out; not ok if it is none.
func stringInt(s string) (float64, bool) {
	x, ok := parseFloat(dropThousands(s))
	return x, ok && nearInteger(x)
}

func isInt(s string) bool {
	_, ok := stringInt(s)
	return ok
}

// formatRounded is str(int(round(x))); formatInt, used elsewhere, cuts off.
func formatRounded(x float64) string { return formatInt(math.RoundToEven(x)) }

// dropThousands takes out the commas that stand between a digit and exactly three
// digits, and again until there are none. In one pass a character that ends a
// match, be it the next comma, begins no other: 1,234,567 loses only its first comma.
func dropThousands(s string) string {
	if !strings.Contains(s, ",") {
		return s
	}
	for {
		next := dropThousandsOnce(s)
		if next == s {
			return s
		}
		s = next
	}
}

func dropThousandsOnce(s string) string {
	var b strings.Builder
	done, from := 0, 0 // what is written, and where a match may begin
	for {
		i := strings.IndexByte(s[from:], ',')
		if i < 0 {
			break
		}
		i += from
		if r, size := utf8.DecodeLastRuneInString(s[from:i]); size > 0 && isDecimal(r) {
			if end, ok := threeDigits(s[i+1:]); ok {
				b.WriteString(s[done:i])
				done, from = i+1, i+1+end
				continue
			}
		}
		from = i + 1
	}
	b.WriteString(s[done:])
	return b.String()
}

// threeDigits tells whether s begins with three digits and no fourth, and where a
// match of them ends: behind the character that follows, if one does.
func threeDigits(s string) (end int, ok bool) {
	for range 3 {
		r, size := utf8.DecodeRuneInString(s[end:])
		if size == 0 || !isDecimal(r) {
			return 0, false
		}
		end += size
	}
	if rest := s[end:]; rest == "" || rest == "\n" {
		return end, true
	}
	r, size := utf8.DecodeRuneInString(s[end:])
	return end + size, !isDecimal(r)
}

// splitTuple takes apart what stands in one pair of parentheses or brackets, and
// nothing else: anything else is one element, as it is. Empty text has none.
func splitTuple(s string) []string {
	s = dropThousands(s)
	if s == "" {
		return nil
	}
	const edges = "()[]"
	if utf8.RuneCountInString(s) > 2 && strings.IndexByte(edges, s[0]) >= 0 && strings.IndexByte(edges, s[len(s)-1]) >= 0 &&
		!strings.ContainsAny(s[1:len(s)-1], edges) {
		elements := strings.Split(s[1:len(s)-1], ",")
		for i, e := range elements {
			elements[i] = strip(e)
		}
		return elements
	}
	return []string{s}
}

// fraction is two runs of digits with a slash between them, the lower one not zero,
// perhaps with one other character before the slash and one at the end.
var fraction = regexp.MustCompile(`^-?[0-9]+.?/0*[1-9][0-9]*.?\n?\z`)

// isFraction tells whether s is a fraction that must be the same text, reduced alike.
func isFraction(s string) bool { return fraction.MatchString(s) }
