package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// commonsense is multiple choice about things that everybody knows: what kind
// they are of, and which is larger or smaller than another.
func commonsense() task {
	return task{
		name: "commonsense", instruction: `Put the letter within \boxed{}.`, ending: ".csv", practice: 0.5,
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

// drawSize asks for the one of four that is larger, or smaller, than another thing.
func drawSize(rng *rand.Rand) exercise {
	for {
		of, sign, word := pick(rng, things), 1, "larger"
		if rng.IntN(2) == 0 {
			sign, word = -1, "smaller"
		}
		var fits, others []thing
		for _, t := range some(rng, things, len(things)) {
			switch {
			case sign*t.size > sign*of.size:
				fits = append(fits, t)
			case t.size != of.size:
				others = append(others, t)
			}
		}
		if len(fits) == 0 || len(others) < 3 {
			continue // nothing is larger than a whale
		}
		e := choice(rng, fmt.Sprintf("Which is %s than a %s?", word, of.name), append(others[:3:3], fits[0]), fits[0], size)
		e.worked = fmt.Sprintf("%s: %s.\n", of.name, size(of)) + e.worked
		return e
	}
}

func size(t thing) string { return fmt.Sprint("size ", t.size) }

// choice shuffles the things. Worked out, it is said of each what is known, up to the right one.
func choice(rng *rand.Rand, question string, of []thing, right thing, known func(thing) string) exercise {
	of = some(rng, of, len(of))
	e := exercise{question: question}
	var steps []string
	for i, t := range of {
		e.choices = append(e.choices, t.name)
		letter := string(rune('A' + i))
		if e.answer == "" {
			steps = append(steps, fmt.Sprintf("%s. %s: %s", letter, t.name, known(t)))
		}
		if t == right {
			e.answer = fmt.Sprint(i + 1)
			e.worked = strings.Join(steps, ".\n") + ", yes.\n" + boxed(letter)
		}
	}
	e.blurt = func(rng *rand.Rand) string { return boxed(string(rune('A' + rng.IntN(len(of))))) }
	return e
}
