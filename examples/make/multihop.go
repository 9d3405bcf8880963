package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// multihop is questions that take two facts to answer: for whom somebody works,
// and where that one lives. A place has two words, so that half an answer has half a reward.
func multihop() task {
	return task{
		name: "multihop", instruction: `Put the place within \boxed{}.`, ending: ".jsonl",
		draw: drawHops,
		file: jsonLines(func(id string, e exercise) any {
			type qa struct {
				Text   string   `json:"text"`
				Places []string `json:"places"`
			}
			return struct {
				ID string `json:"id"`
				QA qa     `json:"qa"`
			}{id, qa{e.question, []string{e.answer}}}
		}),
	}
}

var (
	sides = []string{"North", "South", "Old", "New"}
	towns = []string{"Brome", "Calden", "Delton", "Elmore", "Fenwick", "Garby"}
)

func drawHops(rng *rand.Rand) exercise {
	who, town := some(rng, people, 3), some(rng, towns, 3)
	var facts []string
	place := make([]string, len(who))
	for i, name := range who {
		place[i] = pick(rng, sides) + " " + town[i]
		facts = append(facts, fmt.Sprintf("%s lives in %s.", name, place[i]))
	}
	// Each works for the next, around: nobody is named less often than another.
	boss := func(i int) int { return (i + 1) % len(who) }
	for i, name := range who {
		facts = append(facts, fmt.Sprintf("%s works for %s.", name, who[boss(i)]))
	}
	asked := rng.IntN(len(who))
	facts = some(rng, facts, len(facts))
	return exercise{
		question: strings.Join(facts, " ") + fmt.Sprintf(" Where does the boss of %s live?", who[asked]),
		answer:   place[boss(asked)],
		worked:   fmt.Sprintf("%s works for %s. %s lives in %s.\n", who[asked], who[boss(asked)], who[boss(asked)], place[boss(asked)]) + boxed(place[boss(asked)]),
		blurt:    func(rng *rand.Rand) string { return boxed(pick(rng, sides) + " " + pick(rng, town)) },
	}
}
