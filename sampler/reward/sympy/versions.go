package sympy

import "fmt"

// Versions are what a verdict depends on: part of every result.
type Versions struct {
	Python     string `json:"python"`
	Sympy      string `json:"sympy"`
	Mpmath     string `json:"mpmath"`
	Pylatexenc string `json:"pylatexenc"`
}

// Pinned is what the program brings or fetches, and what the figures of the
// paper can be compared on. CPython 3.10 and 3.11 give the same verdicts; later
// ones differ on some texts that are not ASCII.
var Pinned = Versions{Python: "3.10.16", Sympy: "1.13.1", Mpmath: "1.3.0", Pylatexenc: "2.10"}

func (v Versions) String() string {
	return fmt.Sprintf("Python %s, sympy %s, mpmath %s, pylatexenc %s", v.Python, v.Sympy, v.Mpmath, v.Pylatexenc)
}

// differs says what of v may give other verdicts than what is pinned; "" if nothing.
func (v Versions) differs() string {
	same := v
	if minor(v.Python) == "3.10" || minor(v.Python) == "3.11" {
		same.Python = Pinned.Python
	}
	if same == Pinned {
		return ""
	}
	return fmt.Sprintf("%v, not %v: some verdicts may differ", v, Pinned)
}

// minor is the first two numbers of a version: 3.10 of 3.10.16.
func minor(version string) string {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", major, minor)
}
