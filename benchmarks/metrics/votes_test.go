package metrics

import (
	"fmt"
	"math"
	"slices"
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
		majority, orders := Majority(answers)
		if orders != 0 {
			t.Errorf("case %d is an estimate", i)
		}
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
	for _, n := range []int{32, 64, 128} {
		answers := make([]Answer, n)
		for i := range answers {
			answers[i] = Answer{Vote: fmt.Sprint(i % 7), Correct: i%7 == 2}
		}
		reversed := make([]Answer, n)
		for i := range answers {
			reversed[i] = answers[n-1-i]
			reversed[i].Correct = !reversed[i].Correct
		}
		yes, a := Majority(answers)
		no, b := Majority(reversed)
		if a != 0 || b != 0 {
			t.Errorf("n %d: an estimate", n)
		}
		for k := range yes {
			near(t, fmt.Sprintf("n %d: right and wrong of %d", n, k+1), yes[k]+no[k], 1, 1e-12)
		}
		near(t, "one vote", yes[0], PassAtK(n, (n+4)/7, 1), 1e-12)
	}
}

// More than 64 answers, still exact: two and three of 80, draw by draw.
func TestMajorityBeyond64OverEveryDraw(t *testing.T) {
	answers := make([]Answer, 80)
	for i := range answers {
		answers[i] = Answer{Vote: []string{"", "a", "b", "b", "c", "c", "c"}[i%7], Correct: i%7 == 2 || i%7 == 3 || i%11 == 4}
	}
	share := map[string]float64{}
	count := map[string]int{}
	for _, a := range answers {
		count[a.Vote]++
		if a.Correct {
			share[a.Vote]++
		}
	}
	winner := func(drawn ...int) float64 {
		votes := map[string]int{}
		best, sum, ties := 0, 0.0, 0
		for _, i := range drawn {
			if v := answers[i].Vote; v != "" {
				votes[v]++
				best = max(best, votes[v])
			}
		}
		for v, n := range votes {
			if n == best {
				sum, ties = sum+share[v]/float64(count[v]), ties+1
			}
		}
		return sum / float64(max(ties, 1))
	}
	var sum [4]float64
	var draws [4]int
	for i := range answers {
		for j := range i {
			sum[2], draws[2] = sum[2]+winner(i, j), draws[2]+1
			for k := range j {
				sum[3], draws[3] = sum[3]+winner(i, j, k), draws[3]+1
			}
		}
	}
	got, orders := Majority(answers)
	for k := 2; k <= 3; k++ {
		near(t, fmt.Sprintf("majority@%d", k), got[k-1], sum[k]/float64(draws[k]), 1e-12)
	}
	if orders != 0 {
		t.Error("it is an estimate")
	}
}

// The estimate against the exact figures, where there are both: within five of
// its standard errors, and exact at both ends.
func TestMajorityEstimate(t *testing.T) {
	for i, c := range readOracle(t).Votes {
		answers := make([]Answer, len(c.Answers))
		for j := range answers {
			answers[j] = Answer{Vote: c.Answers[j], Correct: c.Correct[j]}
		}
		const orders = 2000
		n := len(answers)
		got := newBallot(answers).estimate(orders)
		for k := 1; k <= n; k++ {
			want, tolerance := c.Majority[k-1], 1e-12
			if k > 1 && k < n {
				tolerance += 5 * math.Sqrt(want*(1-want)/orders)
			}
			near(t, fmt.Sprintf("case %d: estimate of majority@%d", i, k), got[k-1], want, tolerance)
		}
	}
}

// What is too much to count is estimated, the same whatever the order of the answers.
func TestMajorityOfTooMany(t *testing.T) {
	for _, n := range []int{400, 1500} {
		answers := make([]Answer, n)
		for i := range answers {
			answers[i] = Answer{Vote: fmt.Sprint(i * i % (n / 2)), Correct: i%3 == 0}
		}
		got, orders := Majority(answers)
		if orders < 1<<10 {
			t.Fatalf("%d answers: %d orders", n, orders)
		}
		near(t, "one answer", got[0], float64((n+2)/3)/float64(n), 1e-12)
		slices.Reverse(answers)
		if again, _ := Majority(answers); !slices.Equal(got, again) {
			t.Errorf("%d answers: another order gives another estimate", n)
		}
	}
	few := make([]Answer, 1500) // two that differ: exact at k = 3, by hand
	for i := range few {
		few[i] = Answer{Vote: fmt.Sprint(i % 3 / 2), Correct: i%3 < 2}
	}
	got, orders := Majority(few)
	want := 1000./1500*999/1499*998/1498 + 3*1000./1500*999/1499*500/1498 // three or two right ones of 1000
	near(t, "three of 1500", got[2], want, 5*math.Sqrt(0.25/float64(orders)))
	if got[1499] != 1 || orders == 0 {
		t.Errorf("all of 1500: %g, %d orders", got[1499], orders)
	}
}

// An estimate says so in the results.
func TestMajoritySE(t *testing.T) {
	problems := make([]Problem, 4)
	for p := range problems {
		problems[p] = Problem{ID: p, Answers: make([]Answer, 1500)}
		for i := range problems[p].Answers {
			problems[p].Answers[i] = Answer{Vote: fmt.Sprint(i % 5), Correct: i%5 == p}
		}
	}
	r, err := Compute(problems, 1)
	if err != nil {
		t.Fatal(err)
	}
	if most := math.Sqrt(0.25/(1<<10)) / 2; len(r.MajorityAtK) != len(r.PassAtK) || r.MajoritySE <= 0 || r.MajoritySE > most {
		t.Errorf("%d figures, standard error %g, want above 0 and at most %g", len(r.MajorityAtK), r.MajoritySE, most)
	}
	near(t, "majority@1", r.MajorityAtK[0].Mean, 0.2, 1e-12)
	near(t, "majority@1500", r.MajorityAtK[len(r.MajorityAtK)-1].Mean, 0.2, 1e-12)
}

// Where every order scores the same the figure is no less of an estimate; where every
// draw must, it is none.
func TestMajoritySEOfOrdersThatAgree(t *testing.T) {
	answers := make([]Answer, 20_000)
	for i := range answers {
		answers[i] = Answer{Vote: "a", Correct: true}
	}
	se := func() float64 {
		t.Helper()
		r, err := Compute([]Problem{{Answers: answers}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if at := r.MajorityAtK[1]; at.K != 2 || at.Mean != 1 {
			t.Fatalf("majority@%d is %g: the case is another than meant", at.K, at.Mean)
		}
		return r.MajoritySE
	}
	if got := se(); got != 0 {
		t.Errorf("standard error %g of what is certain", got)
	}
	answers[7] = Answer{Vote: "b"}
	const orders = 1 << 10
	near(t, "standard error", se(), math.Sqrt(3./orders*(1-3./orders)/orders), 1e-12)
	for i := range answers {
		answers[i] = Answer{Vote: fmt.Sprint(i)}
	}
	if got, orders := Majority(answers); orders != 0 || slices.Max(got) != 0 || len(got) != len(answers) {
		t.Errorf("%d figures up to %g of what none solves, of %d orders", len(got), slices.Max(got), orders)
	}
}

func TestMajorityDifferentVerdictsOnOneAnswer(t *testing.T) {
	got, _ := Majority([]Answer{{Vote: "x", Correct: true}, {Vote: "x"}, {Vote: "x"}, {Vote: "x"}, {Vote: ""}})
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
