package metrics

import (
	"fmt"
	"testing"
)

// Both against every draw that there is.
func TestPassAndMajorityOverEveryDraw(t *testing.T) {
	for i, c := range readOracle(t).Votes {
		answers := make([]Answer, len(c.Answers))
		right := 0
		for j := range answers {
			answers[j] = Answer{Vote: c.Answers[j], Correct: c.Correct[j]}
			if c.Correct[j] {
				right++
			}
		}
		majority := Majority(answers)
		for k := 1; k <= len(answers); k++ {
			near(t, fmt.Sprintf("case %d: majority@%d", i, k), majority[k-1], c.Majority[k-1], 1e-12)
			near(t, fmt.Sprintf("case %d: pass@%d", i, k), PassAtK(len(answers), right, k), c.Pass[k-1], 1e-12)
		}
	}
}

func TestPassAtKByHand(t *testing.T) {
	for _, tc := range []struct {
		n, c, k int
		want    float64
	}{
		{32, 0, 32, 0}, {32, 1, 1, 1. / 32}, {32, 1, 32, 1}, {32, 31, 1, 31. / 32}, {32, 31, 2, 1}, {4, 2, 2, 5. / 6},
		{100_000, 1, 50_000, 0.5}, {1, 1, 1, 1}, {1, 0, 1, 0},
	} {
		near(t, fmt.Sprintf("%+v", tc), PassAtK(tc.n, tc.c, tc.k), tc.want, 1e-9)
	}
}

// At the sizes of the paper and beyond: sums of probabilities stay sums of probabilities.
func TestMajorityOfMany(t *testing.T) {
	for _, n := range []int{32, 64} {
		answers := make([]Answer, n)
		for i := range answers {
			answers[i] = Answer{Vote: fmt.Sprint(i % 7), Correct: i%7 == 2}
		}
		reversed := make([]Answer, n)
		for i := range answers {
			reversed[i] = answers[n-1-i]
			reversed[i].Correct = !reversed[i].Correct
		}
		yes, no := Majority(answers), Majority(reversed)
		for k := range yes {
			near(t, fmt.Sprintf("n %d: right and wrong of %d", n, k+1), yes[k]+no[k], 1, 1e-12)
		}
		near(t, "one vote", yes[0], PassAtK(n, (n+4)/7, 1), 1e-12)
	}
	if Majority(make([]Answer, 65)) != nil {
		t.Error("65 answers are more than can be counted exactly")
	}
}

func TestMajorityDifferentVerdictsOnOneAnswer(t *testing.T) {
	got := Majority([]Answer{{Vote: "x", Correct: true}, {Vote: "x"}, {Vote: "x"}, {Vote: "x"}, {Vote: ""}})
	for k, want := range []float64{0.25 * 4 / 5, 0.25, 0.25, 0.25, 0.25} {
		near(t, fmt.Sprintf("majority@%d", k+1), got[k], want, 1e-15)
	}
}

func TestNormalize(t *testing.T) {
	for _, same := range [][]string{
		{"42", " 42 ", "42.0", "42.", "+42", "$42$", `\boxed{42}`, `\text{42}`, `\frac{84}{2}`, "84/2"},
		{`\frac{1}{2}`, `\dfrac{1}{2}`, `\tfrac12`, "1/2", "0.5", ".50", "2/4", "-1/-2", `-\frac{-1}{2}`},
		{`-\frac{1}{2}`, "-0.5", "-1/2", `\frac{-1}{2}`, `\frac{1}{-2}`, "\u22121/2"},
		{"1,000", "1000", "1,000.0"},
		{`\left(1,2\right)`, "(1, 2)"},
		{"Yes", `\text{yes}`, "yes."},
		{"", " ", "$$"},
	} {
		for _, s := range same[1:] {
			if a, b := Normalize(same[0]), Normalize(s); a != b {
				t.Errorf("%q is %q and %q is %q", same[0], a, s, b)
			}
		}
	}
	for _, s := range [][2]string{{"1/0", "0"}, {"12", "1,2"}, {"1,00", "100"}, {"x", "y"}, {`\frac{1}{2}`, `\frac{2}{1}`}, {"-1", "1"}} {
		if a := Normalize(s[0]); a == Normalize(s[1]) {
			t.Errorf("%q and %q are both %q", s[0], s[1], a)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	f.Add(`\frac{1}{0}`)
	f.Add(`\text{\boxed{-1,000.50}}`)
	f.Fuzz(func(t *testing.T, s string) {
		once := Normalize(s)
		if len(s) <= maxAnswer && len(once) > len(s)+2*61 {
			t.Errorf("%q grows to %q", s, once)
		}
	})
}
