package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// logic is truth-tellers and liars: of one it is known, and each of the others
// says of the one before whether that is a liar, which is true if they are not one.
func logic() task {
	return task{
		name: "logic", instruction: `Name all liars in order within \boxed{}, or nobody.`, ending: ".jsonl",
		draw: drawLiars,
		file: jsonLines(func(id string, e exercise) any {
			return struct {
				ID     string `json:"id"`
				Puzzle string `json:"puzzle"`
				Liars  string `json:"liars"`
			}{id, e.question, e.answer}
		}),
	}
}

var people = []string{"Ann", "Bob", "Cid", "Dan", "Eva", "Fay", "Gus", "Hal"}

func drawLiars(rng *rand.Rand) exercise {
	who := some(rng, people, 4)
	lies := make([]bool, len(who))
	var facts, steps []string
	for i, name := range who {
		lies[i] = rng.IntN(2) == 1
		kind := map[bool]string{true: "a liar", false: "honest"}
		if i == 0 {
			facts = append(facts, fmt.Sprintf("%s is %s.", name, kind[lies[0]]))
		} else {
			says := lies[i-1] != lies[i] // a liar turns it round
			facts = append(facts, fmt.Sprintf("%s says %s is %s.", name, who[i-1], kind[says]))
		}
		steps = append(steps, fmt.Sprintf("%s is %s.", name, kind[lies[i]]))
	}
	return exercise{
		question: strings.Join(facts, " ") + " Who is a liar?",
		answer:   liars(who, lies),
		worked:   strings.Join(steps, "\n") + "\n" + boxed(liars(who, lies)),
		blurt: func(rng *rand.Rand) string {
			guess := make([]bool, len(who))
			for i := range guess {
				guess[i] = rng.IntN(2) == 1
			}
			return boxed(liars(who, guess))
		},
	}
}

func liars(who []string, lies []bool) string {
	var names []string
	for i, name := range who {
		if lies[i] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
