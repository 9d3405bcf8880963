package rule

import (
	"cmp"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// oracleCount is how many random cases a test holds against the definition:
// JUSTRL_ORACLE_COUNT, else a few.
func oracleCount(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("JUSTRL_ORACLE_COUNT"), "2000"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// oracleSeed is the seed of the random cases: JUSTRL_ORACLE_SEED, else always the same.
func oracleSeed(t *testing.T) uint64 {
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("JUSTRL_ORACLE_SEED"), "7"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pieces of text in which LaTeX, numbers and Python's notions meet.
var pieces = map[string][]string{
	"latex": {`\frac`, `\dfrac`, `\tfrac`, `\sqrt`, `\text`, `\text{`, `\text{ `, `\left`, `\right`, `\left(`, `\right)`, `\cdot`, `\times`, `\pi`, `\infty`, `\cup`,
		`\{`, `\}`, `\\`, `\`, `\!`, `,\!`, `\,`, `\;`, `\:`, `\ `, `\%`, `\$`, `\circ`, `^\circ`, `^{\circ}`, `^ \circ`, `\(`, `\)`, `\[`, `\]`,
		`\begin{pmatrix}`, `\end{pmatrix}`, `\begin{align*}`, `\end{align*}`, `\begin{array}`, `\end{array}`, `\begin{cases}`, `\end{cases}`, `\begin{center}`, `\end{center}`, `\begin`, `\end`, `\begin {x y}`,
		`\textcolor`, `\color`, `\mathrm`, `\mathbf`, `\mathbb`, `\mathcal`, `\mbox`, `\hat`, `\dot`, `\not`, `\overline`, `\hspace`, `\xrightarrow`, `\footnote`, `\phantom`, `\hphantom`, `\textfrac`, `\url`, `\braket`, `\colorbox`, `\item`, `\fcolorbox`, `\H`, `\"`, `\^`, `\=`, `\boxed`, `\boxed{`, `\fbox{`},
	"shape": {"{", "}", "{", "}", "{", "}", "[", "]", "(", ")", " ", "  ", "\n", "\n\n", "\t", "&", "~", "--", "---", "``", "''", "!`", "?`", "^", "_", "^{", "=", "/", "-", "- ", "+", "*", ",", ".", "|", "<", "%", "$"},
	"number": {"0", "1", "2", "3", "12", "123", "1,234", "12,345,678", "1,2345", "0.5", ".5", "5.", "1e5", "1E-3", "-1", "1_000", "1__0", "4.99999999", "4,999.99999999", "2.5", "-0", "00", "1e400", "1e22",
		"nan", "inf", "-inf", "Infinity", "0x10", " .", "{.", "²", "½", "٣", "५", "𝟗", "５"},
	"word": {"a", "x", "n", "e", "i", "E", "X", "and", " and ", " or ", "or", "million", "billion", "trillion", "degrees", "cm", "cm^2", "meters", "meter ^3", "mile", "seconds", "minutess", "hours", "day", "weekes", "inch^ 2", "inch^12", "feet", "yards", "sqrt", "frac", "tfrac", "dfrac"},
	"odd":  {"İ", "Σ", "ΑΣ", "ΑΣ.Β", "ß", "ŉ", "ﬁ", "K", "√", "π", "∞", "∪", "·", "×", "∘", "–", "−", "\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\u0301", "\x00", "\x1c", "\x1f", "\u0085", "\v", "\f", "\r", "\r\n", "🎉", "ı", "ȷ", "ᾳ", "ǅ", "Ⅷ", "ⓐ", "ω", "µ", "ᵃ", "ª"},
}

// randomText strings pieces together, mostly of LaTeX.
func randomText(r *rand.Rand) string {
	kinds := []string{"latex", "latex", "shape", "shape", "shape", "number", "number", "word", "odd"}
	if r.IntN(3) == 0 {
		kinds = []string{"latex", "shape", "shape", "number", "number"}
	}
	var b strings.Builder
	for range 1 + r.IntN(9) {
		of := pieces[kinds[r.IntN(len(kinds))]]
		b.WriteString(of[r.IntN(len(of))])
	}
	if r.IntN(12) == 0 {
		names := slices.Sorted(maps.Keys(macros()))
		b.WriteString(`\` + names[r.IntN(len(names))] + []string{"", "{a b}", "5", " x"}[r.IntN(4)])
	}
	s := b.String()
	switch r.IntN(12) {
	case 0:
		s = "{" + s + "}"
	case 1:
		s = `\text{` + s + "}"
	case 2:
		s = "(" + s + ")"
	}
	return s
}

// TestDefinition holds each step against the function of the definition that it
// stands for, on random text.
func TestDefinition(t *testing.T) {
	o := newOracle(t)
	r := rand.New(rand.NewPCG(oracleSeed(t), 1))
	unsure := 0
	for i := range oracleCount(t) {
		s := randomText(r)
		other := randomText(r)
		var want string
		if err := o.ask(&want, "_normalize", s); err != nil {
			t.Fatal(err)
		}
		switch got, err := normalize(s); {
		case errors.Is(err, errUnsure):
			unsure++
		case err != nil || got != want:
			t.Errorf("normalize(%+q) = %+q, %v; want %+q", s, got, err, want)
		}
		if err := o.ask(&want, "mathd_normalize_answer", s); err != nil {
			t.Fatal(err)
		}
		if got := mathd(s); got != want {
			t.Errorf("mathd(%+q) = %+q, want %+q", s, got, want)
		}
		var boxed *string
		if err := o.ask(&boxed, "extract_answer", s); err != nil {
			t.Fatal(err)
		}
		if got, found := extract(s); found != (boxed != nil) || found && got != *boxed {
			t.Errorf("extract(%+q) = %+q, %t", s, got, found)
		}
		var elements []string
		if err := o.ask(&elements, "split_tuple", s); err != nil {
			t.Fatal(err)
		}
		if got := splitTuple(s); !slices.Equal(got, elements) {
			t.Errorf("splitTuple(%+q) = %+q, want %+q", s, got, elements)
		}
		for _, f := range []struct {
			name string
			arg  string
			got  bool
		}{
			{"_is_frac", s, isFraction(s)},
			{"_str_is_int", s, isInt(s)},
			{"should_allow_eval", "(" + s + ")-(" + other + ")", allowed(s, other)},
		} {
			var want bool
			if err := o.ask(&want, f.name, f.arg); err != nil {
				t.Fatal(err)
			}
			if f.got != want {
				t.Errorf("%s(%+q) = %t here, want %t", f.name, f.arg, f.got, want)
			}
		}
		if t.Failed() && i > 200 {
			t.Fatal("enough")
		}
	}
	t.Logf("unsure of %d", unsure)
}

// TestMacros holds every macro that is known here against pylatexenc: with and
// without arguments, in and out of mathematics.
func TestMacros(t *testing.T) {
	o := newOracle(t)
	for _, name := range slices.Sorted(maps.Keys(macros())) {
		for _, s := range []string{`1\NAME`, `\NAME 2`, `\NAME{a b}{cZ}[d]{1}`, `\NAME*[o]{a}{b}{c}{d}`, `\[\NAME ı \NAME{hBé}{}\]`, `{\frac\NAME3}`, `\NAME{`, `\sqrt\NAME`, `\begin{array}{c}\NAME&\NAME\\x\end{array}`} {
			s = strings.ReplaceAll(s, "NAME", name)
			got, err := normalize(s)
			if errors.Is(err, errUnsure) {
				continue
			}
			var want string
			if err := o.ask(&want, "_normalize", s); err != nil {
				t.Fatal(err)
			}
			if err != nil || got != want {
				t.Errorf("normalize(%+q) = %+q, %v; want %+q", s, got, err, want)
			}
		}
	}
}

// TestCharacters holds Python's notions of single characters against Python's own,
// on all that its Unicode knows.
func TestCharacters(t *testing.T) {
	o := newOracle(t)
	around := []string{"Α%Σ", "ΑΣ%Β", "Σ%"}
	var all []rune
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if (r < 0xd800 || r >= 0xe000) && known(r) {
			all = append(all, r)
		}
	}
	for block := range slices.Chunk(all, 2000) {
		var want []struct {
			Space, Alpha, Decimal, Word bool
			Lower                       string
			Around                      []string
			Float                       *float64
		}
		if err := o.ask(&want, "characters", append([]string{string(block)}, around...)...); err != nil {
			t.Fatal(err)
		}
		for i, r := range block {
			want, s := want[i], string(r)
			if isSpace(r) != want.Space || isAlpha(r) != want.Alpha || isDecimal(r) != want.Decimal || isWord(r) != want.Word || lower(s) != want.Lower {
				t.Errorf("%U: space %t, alpha %t, decimal %t, word %t, lower %+q; want %+v", r, isSpace(r), isAlpha(r), isDecimal(r), isWord(r), lower(s), want)
			}
			if x, ok := parseFloat(s); ok != (want.Float != nil) || ok && x != *want.Float {
				t.Errorf("%U: float %v, %t", r, x, ok)
			}
			for j, a := range around {
				a = strings.ReplaceAll(a, "%", s)
				if got := lower(a); got != want.Around[j] {
					t.Errorf("lower(%+q) = %+q, want %+q", a, got, want.Around[j])
				}
			}
		}
	}
	if len(all) < 140_000 {
		t.Errorf("only %d characters were looked at", len(all))
	}
}
