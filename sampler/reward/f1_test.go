package reward

import (
	"math"
	"slices"
	"testing"

	"github.com/justrl/justrl/sampler"
)

// By hand: 2 · shared / (words of the one + words of the other).
func TestF1(t *testing.T) {
	for _, c := range []struct {
		name, text, truth string
		reward            float64
		correct           bool
		answer            string
	}{
		{"the same", `\boxed{Tom Hill}`, "Tom Hill", 1, true, "Tom Hill"},
		{"another case, punctuation, an article", `\boxed{the TOM-HILL!}`, "a tomhill", 1, true, "the TOM-HILL!"},
		{"the other order", `\boxed{Hill Tom}`, "Tom Hill", 1, true, "Hill Tom"},
		{"half", `\boxed{Tom Reed}`, "Tom Hill", 0.5, false, "Tom Reed"},
		{"one word too many", `\boxed{Tom B Hill}`, "Tom Hill", 0.8, true, "Tom B Hill"},
		{"one word of three", `answer: Hill`, "Tom Bertram Hill", 0.5, false, "Hill"},
		{"words count as often as they come", `\boxed{no no no}`, "no no", 0.8, true, "no no no"},
		{"none shared", `\boxed{Ann}`, "Tom Hill", 0, false, "Ann"},
		{"nothing but an article against words", `\boxed{the}`, "Tom", 0, false, "the"},
		{"nothing against nothing", `\boxed{the}`, "a", 1, true, "the"},
		{"no answer", "Tom Hill", "Tom Hill", 0, false, ""},
		{"no answer, and a truth of no words", "Tom Hill", "the", 0, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := F1{Threshold: 0.8}.Verify(t.Context(), c.text, c.truth)
			if err != nil || math.Abs(got.Reward-c.reward) > 1e-15 {
				t.Fatalf("%+v, %v; want %g", got, err, c.reward)
			}
			if want := (sampler.Score{Reward: got.Reward, Correct: c.correct, Answer: c.answer}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestSquadWords(t *testing.T) {
	for s, want := range map[string][]string{
		"A cat, an  owl & the\tdog.": {"cat", "owl", "dog"},
		"theatre an_d a_":            {"theatre", "and"}, // the underscore is punctuation, and goes first
		"the—end":                    {"—end"},           // a dash that is not ASCII stays
		"don't $5.00 x^2":            {"dont", "500", "x2"},
		"Ünter den Linden":           {"ünter", "den", "linden"},
		"the the":                    nil,
		"":                           nil,
	} {
		if got := squadWords(s); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// F1 is symmetric, from 0 to 1, and 1 for a text against itself.
func FuzzTokenF1(f *testing.F) {
	f.Add("the cat", "cat cat")
	f.Add("\xff a", "an")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := squadWords(a), squadWords(b)
		if got := tokenF1(x, y); got < 0 || got > 1 || got != tokenF1(y, x) {
			t.Errorf("%q, %q: %g and %g", a, b, got, tokenF1(y, x))
		}
		if got := tokenF1(x, x); got != 1 {
			t.Errorf("%q against itself: %g", a, got)
		}
	})
}
