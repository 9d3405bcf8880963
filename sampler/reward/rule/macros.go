package rule

import (
	_ "embed"
	"encoding/json"
	"strings"
	"sync"
)

// macrosFile is what pylatexenc 2.10 knows of macros; testdata/macros.py writes it
// and says what its fields are.
//
//go:embed macros.txt
var macrosFile string

type how string

const (
	asText    how = "text"
	byPercent how = "percent"
	byArgs    how = "args"
	dropped   how = "drop"
	byAccent  how = "accent"
	byStyle   how = "style"
	byPython  how = "python"
)

// macroSpec tells what a macro takes and how it is written; its zero value is
// that of an unknown macro, which takes nothing and has no text.
type macroSpec struct {
	args string
	how  how
	text string
}

var macros = sync.OnceValue(func() map[string]macroSpec {
	all := map[string]macroSpec{}
	for line := range strings.Lines(macrosFile) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		spec := macroSpec{how: how(fields[2])}
		if fields[1] != "-" {
			spec.args = fields[1]
		}
		if err := json.Unmarshal([]byte(fields[3]), &spec.text); err != nil {
			panic("macros.txt: " + err.Error()) // the file is part of the program, and tested
		}
		all[fields[0]] = spec
	}
	return all
})

// environmentArgs are the arguments of the environments that have some.
var environmentArgs = map[string]string{
	"figure": "[", "figure*": "[", "table": "[", "table*": "[",
	"tabular": "{", "tabular*": "{{", "tabularx": "{[{", "array": "[{", "alignat": "{", "alignat*": "{",
	"theorem": "[", "proposition": "[", "lemma": "[", "corollary": "[", "definition": "[", "conjecture": "[", "remark": "[",
	"proof": "[", "thm": "[", "prop": "[", "lem": "[", "cor": "[", "conj": "[", "rem": "[", "defn": "[",
	"enumerate": "[", "itemize": "[", "description": "[",
}

type environmentStyle int

const (
	asMatrix environmentStyle = iota + 1
	asEquation
	asBlock
)

// environmentStyles are the environments that are more than what stands in them.
var environmentStyles = map[string]environmentStyle{
	"array": asMatrix, "pmatrix": asMatrix, "bmatrix": asMatrix, "smallmatrix": asMatrix, "psmallmatrix": asMatrix, "bsmallmatrix": asMatrix,
	"equation": asEquation, "equation*": asEquation, "eqnarray": asEquation, "eqnarray*": asEquation, "align": asEquation, "align*": asEquation,
	"multline": asEquation, "multline*": asEquation, "gather": asEquation, "gather*": asEquation, "dmath": asEquation, "dmath*": asEquation,
	"center": asBlock, "flushleft": asBlock, "flushright": asBlock,
}

// specialsText are the texts of the characters with a meaning of their own.
var specialsText = map[string]string{
	"&": "   ", "~": "\u00a0", "``": "“", "''": "”", "--": "–", "---": "—", "!`": "¡", "?`": "¿",
}

// An alphabet of Unicode's mathematical letters: where its capitals and its small
// letters begin, and the letters that stand elsewhere.
type alphabet struct {
	upper, lower rune
	elsewhere    map[rune]rune
}

var alphabets = map[string]alphabet{
	"bold":      {upper: 0x1d400, lower: 0x1d41a},
	"italic":    {upper: 0x1d434, lower: 0x1d44e, elsewhere: map[rune]rune{'h': 'ℎ'}},
	"sans":      {upper: 0x1d5a0, lower: 0x1d5ba},
	"monospace": {upper: 0x1d670, lower: 0x1d68a},
	"script": {upper: 0x1d49c, lower: 0x1d4b6, elsewhere: map[rune]rune{
		'B': 'ℬ', 'E': 'ℰ', 'F': 'ℱ', 'H': 'ℋ', 'I': 'ℐ', 'L': 'ℒ', 'M': 'ℳ', 'R': 'ℛ', 'e': 'ℯ', 'g': 'ℊ', 'o': 'ℴ'}},
	"fraktur": {upper: 0x1d504, lower: 0x1d51e, elsewhere: map[rune]rune{'C': 'ℭ', 'H': 'ℌ', 'I': 'ℑ', 'R': 'ℜ', 'Z': 'ℨ'}},
	"doublestruck": {upper: 0x1d538, lower: 0x1d552, elsewhere: map[rune]rune{
		'C': 'ℂ', 'H': 'ℍ', 'N': 'ℕ', 'P': 'ℙ', 'Q': 'ℚ', 'R': 'ℝ', 'Z': 'ℤ'}},
}

func (a alphabet) letter(r rune) rune {
	switch e, ok := a.elsewhere[r]; {
	case ok:
		return e
	case 'A' <= r && r <= 'Z':
		return a.upper + r - 'A'
	case 'a' <= r && r <= 'z':
		return a.lower + r - 'a'
	}
	return r
}
