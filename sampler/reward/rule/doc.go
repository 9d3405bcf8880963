// Package rule is the rule grader: the verdicts of the authors' evaluation
// (grade_answer_verl in evals/utils.py of thunlp/JustRL), quirks included, with
// Python 3.10, sympy 1.13.1 and pylatexenc 2.10 as the definition runs on them.
//
// A verdict is found in steps, each of which can be the last ([How]):
//
//	response ─▶ box ─▶ mathd ─▶ normalize ─▶ elements: same fraction? both integers? ─▶ sympy
//
// All of it is Go but for two things, which are an [Algebra]: LaTeX of which it is
// not known here what pylatexenc makes of it, and pairs of elements that only sympy
// can compare. Which those are errs on their side: what is decided in Go is what
// follows from how sympy reads an expression (decide.go has the arguments), and the
// tests hold it against the definition.
//
// Time. Everything here is linear in the length of the answer. Nesting beyond
// Python's stack makes the definition keep the LaTeX as it is; so does this.
//
// Text that is no UTF-8 is graded with U+FFFD in place of what is not: Python's
// strings cannot hold it. No exception is known that the definition lets escape,
// apart from a lack of memory and a limit of time: those are an Algebra's errors,
// and never a verdict.
//
// Deliberately absent: any improvement. That 1,234,567 does not equal 1234567 and
// that 4,999.99999999 is 4999 is what the paper's numbers were made with.
package rule
