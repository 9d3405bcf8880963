//go:build torch

package main

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/justrl/justrl/sampler/reward"
)

func right(t *testing.T, s sum, text string) bool {
	t.Helper()
	score, err := reward.StrictBox{}.Verify(context.Background(), text, s.answer())
	if err != nil {
		t.Fatal(err)
	}
	return score.Correct
}

// Working out is always right under the training reward; blurting seldom.
func TestHabits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	n, lucky, expected := 0, 0, 0.0
	for a := 10; a < 100; a++ {
		for b := 10; b < 100; b++ {
			s := sum{a, b}
			if !right(t, s, s.workedOut()) {
				t.Fatalf("%v worked out is graded wrong: %s", s, s.workedOut())
			}
			n++
			if right(t, s, s.blurted(rng)) {
				lucky++
			}
			expected += s.diligence()
		}
	}
	// What the warm-up aims at: right about three times in ten.
	want := expected/float64(n) + (1-expected/float64(n))*float64(lucky)/float64(n)
	if want < 0.25 || want > 0.35 {
		t.Errorf("the mixture is right %.3f of the time, want about 0.30", want)
	}
}

func TestSplitIsDisjoint(t *testing.T) {
	train, held := split(rand.New(rand.NewPCG(3, 4)), 200)
	if len(held) != 200 {
		t.Fatalf("%d held out, want 200", len(held))
	}
	seen := map[sum]bool{}
	for _, s := range train {
		if seen[s] {
			t.Fatalf("%v is twice in training", s)
		}
		seen[s] = true
	}
	for _, s := range held {
		if seen[s] || seen[sum{s.b, s.a}] {
			t.Errorf("%v is held out and in training", s)
		}
	}
	if missing := 8100 - len(train); missing < 200 || missing > 400 {
		t.Errorf("%d of 8100 sums are not in training; 200 held out, each with its turned twin, make 200 to 400", missing)
	}
}
