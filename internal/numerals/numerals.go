// Package numerals writes numbers for people who read a report: few digits, a
// true minus sign, units that do not break from their number.
package numerals

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// None stands where there is no number.
const None = "–"

// Format writes a number for people.
type Format func(float64) string

// Plain writes about three significant digits: 1,234 12.3 0.0123 1.2×10⁻⁵.
func Plain(x float64) string {
	a := math.Abs(x)
	switch {
	case !Finite(x):
		return None
	case a == 0:
		return "0"
	case a >= 1e7:
		return power(x, 3)
	case a == math.Trunc(a):
		return Signed(group(Fixed(x, 0)))
	case a >= 100:
		return Signed(group(strconv.FormatFloat(x, 'f', 0, 64)))
	case a >= 10:
		return Signed(strconv.FormatFloat(x, 'f', 1, 64))
	case a >= 1:
		return Signed(strconv.FormatFloat(x, 'f', 2, 64))
	case a >= 0.001:
		return Signed(strconv.FormatFloat(x, 'f', 2-int(math.Floor(math.Log10(a))), 64))
	default:
		return power(x, 2)
	}
}

// Reward is a signed number with three decimals, as the progress lines have it.
func Reward(x float64) string {
	if !Finite(x) {
		return None
	}
	return Signed(fmt.Sprintf("%+.3f", x))
}

// Percent writes a number that is in percent already.
func Percent(x float64) string {
	switch {
	case !Finite(x):
		return None
	case x == 0:
		return "0\u00a0%"
	case math.Abs(x) < 0.005:
		return power(x, 1) + "\u00a0%"
	case math.Abs(x) < 1:
		return Signed(strconv.FormatFloat(x, 'f', 2, 64)) + "\u00a0%"
	default:
		return Signed(strconv.FormatFloat(x, 'f', 1, 64)) + "\u00a0%"
	}
}

// Seconds writes a span of time without ever changing the unit, for columns and curves.
func Seconds(x float64) string {
	switch {
	case !Finite(x):
		return None
	case x != 0 && math.Abs(x) < 0.001:
		return "<\u00a00.001\u00a0s"
	default:
		return Plain(x) + "\u00a0s"
	}
}

// power writes x as a mantissa of so many digits times a power of ten.
func power(x float64, digits int) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', digits-1, 64), "e")
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return None
	}
	return Signed(mantissa) + "×10" + Superscript(n)
}

// Superscript writes n as an exponent.
func Superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").
		Replace(strconv.Itoa(n))
}

// Signed writes a minus sign for the hyphen of a number.
func Signed(s string) string { return strings.Replace(s, "-", "−", 1) }

// group puts a comma between the thousands of a whole number.
func group(digits string) string {
	start := len(digits) - len(strings.TrimLeft(digits, "+-"))
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count writes a whole number.
func Count(n int64) string { return Signed(group(strconv.FormatInt(n, 10))) }

// Amount is a large number in words, and a smaller one exactly.
func Amount(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "trillion"}, {1e9, "billion"}, {1e6, "million"}} {
		if Finite(x) && math.Abs(x) >= unit.size {
			return Signed(Fixed(x/unit.size, 1)) + "\u00a0" + unit.name
		}
	}
	if !Finite(x) {
		return None
	}
	return Count(int64(x))
}

// CountOf is a number with its noun: "1 step", "2 steps".
func CountOf(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Count(int64(n)) + "\u00a0" + noun
}

// Duration writes the two largest units of a span in seconds.
func Duration(s float64) string {
	if !Finite(s) || s < 0 || s > 1e9 {
		return None
	}
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(s, 'f', 1, 64) + "\u00a0s"
	case d < time.Minute:
		return fmt.Sprintf("%d\u00a0s", int(d.Round(time.Second).Seconds()))
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d\u00a0min %d\u00a0s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%d\u00a0h %d\u00a0min", int(d.Hours()), int(d.Minutes())%60)
	default:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%d\u00a0d %d\u00a0h", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// Fixed writes at most so many decimals, without zeros at the end, and no sign of a 0.
func Fixed(x float64, decimals int) string {
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// trimmedPower is power with no more digits than there are: 2×10⁻⁵, 2.5×10⁻⁵.
func trimmedPower(x float64) string {
	exponent := math.Floor(math.Log10(math.Abs(x)) + 1e-9)
	return Signed(Fixed(x/math.Pow(10, exponent), 2)) + "×10" + Superscript(int(exponent))
}

// Tick writes the value of a tick with no more digits than it has.
func Tick(x float64) string {
	a := math.Abs(x)
	switch {
	case a == 0:
		return "0"
	case a >= 1e7 || a < 0.001:
		return trimmedPower(x)
	case a >= 1000:
		return Signed(group(Fixed(x, 0)))
	default:
		return Signed(Fixed(x, 4))
	}
}

// Step writes a whole number that is held as a float64, or what is not whole as Plain.
func Step(x float64) string {
	if x != math.Trunc(x) || math.Abs(x) > 1e15 {
		return Plain(x)
	}
	return Count(int64(x))
}

// UpperFirst begins a sentence.
func UpperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Finite: x can be drawn. What is as large as the largest numbers cannot: their
// differences are infinite.
func Finite(x float64) bool { return math.Abs(x) <= 1e300 }
