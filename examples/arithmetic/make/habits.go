//go:build torch

package main

import (
	"fmt"
	"math/rand/v2"
)

// The warm-up teaches two habits of answering, as a pretrained model has many:
// to work a sum out digit by digit, which is right, and to blurt an answer,
// which knows no carry. What reinforcement has to find is which of
// the two pays.

// workedOut is the answer step by step.
func (s sum) workedOut() string {
	units := s.a%10 + s.b%10
	carry := units / 10
	tens := s.a/10 + s.b/10 + carry
	return fmt.Sprintf("Units: %d + %d = %d, so write %d and carry %d.\nTens: %d + %d + %d = %d.\nThe answer is \\boxed{%d}.",
		s.a%10, s.b%10, units, units%10, carry, s.a/10, s.b/10, carry, tens, s.a+s.b)
}

// blurted is an answer at once: most often each column's last digit with no
// carry at all, else any number of that size.
func (s sum) blurted(rng *rand.Rand) string {
	guess := (s.a/10+s.b/10)%10*10 + (s.a+s.b)%10
	if rng.Float64() >= carelessness {
		guess = 20 + rng.IntN(179)
	}
	return fmt.Sprintf("The answer is \\boxed{%d}.", guess)
}

const carelessness = 0.6 // share of blurted answers that leave out every carry and are else right

// diligence is how often a sum is worked out. It differs by problem, so that
// greedy answers change habit one problem after another, not all at once.
func (s sum) diligence() float64 {
	return 0.06 + 0.03*float64(s.a/10)
}

// respond draws an answer in the mixed manner of the warm-up.
func (s sum) respond(rng *rand.Rand) string {
	if rng.Float64() < s.diligence() {
		return s.workedOut()
	}
	return s.blurted(rng)
}
