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
		{"two letters with full stops", `answer: A. or B.`, "A", false, "A. or B."},
		{"two small letters with full stops", `answer: a. or b.`, "A", false, "a. or b."},
		{"two in parentheses", `\boxed{(A) (B)}`, "A", false, "(A) (B)"},
		{"two small ones in parentheses", `\boxed{(a), (b)}`, "A", false, "(a), (b)"},
		{"two with commas", `\boxed{A., B., C.}`, "A", false, "A., B., C."},
		{"a name that ends with a letter", `answer: B. Vitamin C`, "B", true, "B"},
		{"an article behind it", `answer: B. A dog`, "B", true, "B"},
		{"me behind it", `answer: B. what I think`, "B", true, "B"},
		{"a variable behind it", `\boxed{(B) x = 5}`, "B", true, "B"},
		{"a function behind it", `\boxed{(B) f(x) + P(A)}`, "B", true, "B"},
		{"the same again", `answer: C. Vitamin C.`, "C", true, "C"},
		{"a word", `\boxed{dog}`, "D", false, "dog"},
		{"an abbreviation", `\boxed{A.B}`, "A", false, "A.B"},
		{"nothing", "I do not know", "A", false, ""},
		{"a truth with parentheses", `\boxed{B}`, "(b)", true, "B"},
	})
	failsOn(t, Choice{}, `\boxed{B}`, "7", `must be a letter, is "7"`)
	failsOn(t, Choice{}, `\boxed{}`, "", "must be a letter")
}
