package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// commonsense is multiple choice about things that everybody knows: what kind
// they are of, and which is the largest or the smallest.
func commonsense() task {
	return task{
		name: "commonsense", instruction: `Put the letter within \boxed{}.`, ending: ".csv",
		draw: drawChoice,
		file: table([]string{"id", "question", "a", "b", "c", "d", "right"}, func(id string, e exercise) []string {
			return append(append([]string{id, e.question}, e.choices...), e.answer)
		}),
	}
}

// thing is something to choose, its kind, and its size from 1 to 9.
type thing struct {
	name, kind string
	size       int
}

var things = []thing{
	{"ant", "animal", 1}, {"mouse", "animal", 3}, {"cat", "animal", 5}, {"horse", "animal", 7}, {"whale", "animal", 9},
	{"pea", "food", 1}, {"plum", "food", 2}, {"lemon", "food", 3}, {"melon", "food", 4}, {"pie", "food", 5},
	{"pin", "tool", 1}, {"spoon", "tool", 3}, {"hammer", "tool", 4}, {"spade", "tool", 5}, {"ladder", "tool", 6},
	{"scooter", "vehicle", 5}, {"car", "vehicle", 7}, {"bus", "vehicle", 8}, {"ship", "vehicle", 9}, {"sled", "vehicle", 6},
}

func drawChoice(rng *rand.Rand) exercise {
	if rng.IntN(2) == 0 {
		return drawKind(rng)
	}
	return drawSize(rng)
}

// drawKind asks for the one of its kind among four.
func drawKind(rng *rand.Rand) exercise {
	right := pick(rng, things)
	chosen := []thing{right}
	for _, t := range some(rng, things, len(things)) {
		if t.kind != right.kind && len(chosen) < 4 {
			chosen = append(chosen, t)
		}
	}
	return choice(rng, fmt.Sprintf("Which is a kind of %s?", right.kind), chosen, right, func(t thing) string { return t.kind })
}

// drawSize asks for the largest or the smallest of four of different sizes.
func drawSize(rng *rand.Rand) exercise {
	var chosen []thing
	taken := map[int]bool{}
	for _, t := range some(rng, things, len(things)) {
		if !taken[t.size] && len(chosen) < 4 {
			chosen = append(chosen, t)
			taken[t.size] = true
		}
	}
	most, word := 1, "largest"
	if rng.IntN(2) == 0 {
		most, word = -1, "smallest"
	}
	right := chosen[0]
	for _, t := range chosen {
		if most*t.size > most*right.size {
			right = t
		}
	}
	return choice(rng, fmt.Sprintf("Which is the %s?", word), chosen, right, func(t thing) string { return fmt.Sprint("size ", t.size) })
}

// choice shuffles the things, and says of each what is known.
func choice(rng *rand.Rand, question string, of []thing, right thing, known func(thing) string) exercise {
	of = some(rng, of, len(of))
	e := exercise{question: question}
	var steps []string
	letter := ""
	for i, t := range of {
		e.choices = append(e.choices, t.name)
		steps = append(steps, fmt.Sprintf("%c. %s: %s.", 'A'+i, t.name, known(t)))
		if t == right {
			e.answer, letter = fmt.Sprint(i+1), string(rune('A'+i))
		}
	}
	e.worked = strings.Join(steps, "\n") + fmt.Sprintf("\nIt is the %s, %s.\n", right.name, known(right)) + boxed(letter)
	e.blurt = func(rng *rand.Rand) string { return boxed(string(rune('A' + rng.IntN(len(of))))) }
	return e
}
