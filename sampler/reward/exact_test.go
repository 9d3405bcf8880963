package reward

import "testing"

func TestExact(t *testing.T) {
	verdicts(t, Exact{}, []pairCase{
		{"the same", `\boxed{Paris}`, "Paris", true, "Paris"},
		{"after the mark", "Answer: Paris", "Paris", true, "Paris"},
		{"another case", `\boxed{paris}`, "Paris", false, "paris"},
		{"other spaces", `\boxed{New  York}`, "New York", false, "New  York"},
		{"a full stop", `\boxed{Paris.}`, "Paris", false, "Paris."},
		{"nothing", "Paris", "Paris", false, ""},
		{"no answer is not an empty one", "Paris", "", false, ""},
	})
	verdicts(t, Exact{IgnoreCase: true}, []pairCase{
		{"ignored case", `\boxed{ÉTÉ}`, "été", true, "ÉTÉ"},
		{"ignored case, other spaces", `\boxed{new  york}`, "New York", false, "new  york"},
	})
	verdicts(t, Exact{IgnoreSpace: true}, []pairCase{
		{"ignored spaces", "\\boxed{ New\n York }", "New York", true, " New\n York "},
		{"a space that is missing", `\boxed{NewYork}`, "New York", false, "NewYork"},
	})
	verdicts(t, Exact{IgnorePunctuation: true}, []pairCase{
		{"ignored punctuation", `\boxed{“Paris”!}`, "Paris", true, "“Paris”!"},
		{"a symbol is none", `\boxed{C+}`, "C", false, "C+"},
	})
	verdicts(t, Exact{true, true, true}, []pairCase{
		{"all of it", `\boxed{ann, BOB.}`, "Ann , Bob", true, "ann, BOB."},
		{"and yet another", `\boxed{ann}`, "Ann, Bob", false, "ann"},
	})
}
