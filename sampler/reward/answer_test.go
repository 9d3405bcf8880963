package reward

import (
	"context"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler"
)

func TestLastAnswer(t *testing.T) {
	for _, c := range []struct {
		name, text, answer string
		found              bool
	}{
		{"nothing", "it is 4", "", false},
		{"empty", "", "", false},
		{"a box", `so \boxed{4}.`, "4", true},
		{"a box far from the end", `\boxed{4}` + strings.Repeat(" and so on", 100), "4", true},
		{"the last box", `\boxed{4} no, \boxed{5}`, "5", true},
		{"a box that is never closed", `\boxed{4} no, \boxed{5`, "", false},
		{"an empty box", `\boxed{}`, "", true},
		{"after the mark", "Answer: Paris", "Paris", true},
		{"in any case", "the ANSWER:  Paris \nthat is all", "Paris", true},
		{"Markdown", "**Answer:** Paris", "Paris", true},
		{"Markdown before the colon", "__Final answer__ : *Paris*", "Paris", true},
		{"a wide colon", "Answer：東京", "東京", true},
		{"on the next line", "Answer:\n\n  B\n", "B", true},
		{"the last mark", "Answer: A\nno:\nAnswer: B", "B", true},
		{"a mark without an answer", "Answer: A\nAnswer:", "", false},
		{"a box after the mark", `Answer: it is \boxed{4}`, "4", true},
		{"a mark after the box", "\\boxed{4}\nAnswer: 5", "5", true},
		{"a mark in a box", `\boxed{Answer: B} or so`, "B", true},
		{"a mark in a box, with nothing behind it", `\boxed{answer:} or so`, "", false},
		{"another word before a colon", "The answer is: 4", "", false},
		{"bytes that are no text", "answer:\xff\xfe", "\xff\xfe", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if answer, found := lastAnswer(c.text); answer != c.answer || found != c.found {
				t.Errorf("%q, %t; want %q, %t", answer, found, c.answer, c.found)
			}
		})
	}
}

// A text of a megabyte that looks for trouble is read in one pass.
func TestLastAnswerOfHostileTexts(t *testing.T) {
	for _, s := range []string{":", " :", "answe:", `\boxed{`, "answer:", "answer \t*"} {
		if answer, _ := lastAnswer(strings.Repeat(s, 1<<20/len(s))); len(answer) > 1<<20 {
			t.Errorf("%q: an answer of %d bytes", s, len(answer))
		}
	}
}

// verdicts runs a table of pairs through a verifier that knows right and wrong.
type pairCase struct {
	name, text, truth string
	correct           bool
	answer            string
}

func verdicts(t *testing.T, v sampler.Verifier, cases []pairCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), c.text, c.truth)
			if err != nil {
				t.Fatal(err)
			}
			if want := verdict(c.correct, c.answer); got != want {
				t.Errorf("%q against %q: %+v, want %+v", c.text, c.truth, got, want)
			}
		})
	}
}

// failsOn wants an error, and no score, that says so.
func failsOn(t *testing.T, v sampler.Verifier, text, truth, want string) {
	t.Helper()
	got, err := v.Verify(context.Background(), text, truth)
	if err == nil || got != (sampler.Score{}) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q against %q: %+v, %v; want an error of one line with %q", text, truth, got, err, want)
	}
}

// FuzzVerifiers: whatever a model writes, a truth that a verifier takes once it
// takes always; a reward is within bounds; a truth given as the answer is right.
func FuzzVerifiers(f *testing.F) {
	f.Add(`\boxed{1/2}`, "0.5")
	f.Add("Answer: (B) dog", "b")
	f.Add(`\boxed{\frac{1}{0}}`, "1e400")
	f.Add("answer: the Cat's tail", "a cats tail")
	f.Fuzz(func(t *testing.T, text, truth string) {
		for name, v := range map[string]sampler.Verifier{
			"choice": Choice{}, "exact": Exact{}, "loose": Exact{IgnoreCase: true, IgnoreSpace: true, IgnorePunctuation: true},
			"numeric": &Numeric{}, "f1": F1{Threshold: 1}, "regex": Regex{}, "pattern": Regex{Pattern: "answer: {truth}$"},
		} {
			got, err := v.Verify(t.Context(), text, truth)
			again, errAgain := v.Verify(t.Context(), text, truth)
			if got != again || (err == nil) != (errAgain == nil) {
				t.Errorf("%s: %+v, then %+v", name, got, again)
			}
			if err != nil && got != (sampler.Score{}) {
				t.Errorf("%s: a score %+v with the error %v", name, got, err)
			}
			if got.Reward < -1 || got.Reward > 1 || got.Correct && got.Reward != 1 {
				t.Errorf("%s: %+v", name, got)
			}
			if strings.ContainsAny(truth, "\\{}") || err != nil || strings.HasPrefix(name, "regex") || name == "pattern" {
				continue
			}
			if own, err := v.Verify(t.Context(), boxOpen+truth+"}", truth); err != nil || !own.Correct {
				t.Errorf("%s: the truth %q as the answer: %+v, %v", name, truth, own, err)
			}
		}
	})
}
