//go:build torch

package main

import (
	"fmt"
	"math/rand/v2"
)

// sum is one problem: two numbers of two digits to be added.
type sum struct{ a, b int }

// phrasings are the ways in which a problem is asked.
var phrasings = []string{"What is %d + %d?", "Compute %d + %d.", "Find the sum of %d and %d."}

func (s sum) question() string {
	return fmt.Sprintf(phrasings[(s.a+s.b)%len(phrasings)], s.a, s.b)
}

func (s sum) answer() string { return fmt.Sprint(s.a + s.b) }

// split deals all 8,100 sums at random into training and held-out problems;
// no sum is in both, in either order of its numbers.
func split(rng *rand.Rand, heldOut int) (train, held []sum) {
	var pairs []sum
	for a := 10; a < 100; a++ {
		for b := a; b < 100; b++ {
			pairs = append(pairs, sum{a, b})
		}
	}
	rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for i, p := range pairs {
		turned := sum{p.b, p.a}
		if i < heldOut {
			if rng.IntN(2) == 1 {
				p = turned
			}
			held = append(held, p)
			continue
		}
		train = append(train, p)
		if turned != p {
			train = append(train, turned)
		}
	}
	rng.Shuffle(len(train), func(i, j int) { train[i], train[j] = train[j], train[i] })
	return train, held
}
