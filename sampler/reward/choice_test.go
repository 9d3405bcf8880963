package reward

import "testing"

func TestChoice(t *testing.T) {
	verdicts(t, Choice{}, []pairCase{
		{"a letter in a box", `so \boxed{B}`, "B", true, "B"},
		{"another letter", `\boxed{C}`, "B", false, "C"},
		{"after the mark", "Answer: B", "B", true, "B"},
		{"small", `\boxed{b}`, "B", true, "B"},
		{"in parentheses", `\boxed{(B)}`, "B", true, "B"},
		{"in brackets", "answer: [b]", "B", true, "B"},
		{"with a full stop", "answer: B.", "B", true, "B"},
		{"bold", "**Answer:** **B**", "B", true, "B"},
		{"as text of LaTeX", `\boxed{\text{B}}`, "B", true, "B"},
		{"bold in LaTeX, in parentheses", `\boxed{\textbf{(B)}}`, "B", true, "B"},
		{"as mathematics", "answer: $B$", "B", true, "B"},
		{"an option", "answer: Option B", "B", true, "B"},
		{"with what it says", "answer: B. a dog", "B", true, "B"},
		{"in parentheses, with what it says", `\boxed{(B) a dog}`, "B", true, "B"},
		{"an article is no letter", `\boxed{A dog}`, "A", false, "A dog"},
		{"two letters", `\boxed{A, B}`, "A", false, "A, B"},
		{"a word", `\boxed{dog}`, "D", false, "dog"},
		{"an abbreviation", `\boxed{A.B}`, "A", false, "A.B"},
		{"nothing", "I do not know", "A", false, ""},
		{"a truth with parentheses", `\boxed{B}`, "(b)", true, "B"},
	})
	failsOn(t, Choice{}, `\boxed{B}`, "7", `must be a letter, is "7"`)
	failsOn(t, Choice{}, `\boxed{}`, "", "must be a letter")
}
