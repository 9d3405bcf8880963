package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// multihop is questions that take two facts to answer: for which team somebody
// plays, and where that comes from. A place has two words, so that half an answer has half a reward.
func multihop() task {
	return task{
		name: "multihop", instruction: `Put the place within \boxed{}.`, ending: ".jsonl", practice: 0.5,
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
	teams = []string{"Reds", "Blues", "Greens", "Whites", "Golds", "Blacks"}
	sides = []string{"North", "South", "Old", "New"}
	towns = []string{"Brome", "Calden", "Delton", "Elmore", "Fenwick", "Garby"}
)

func drawHops(rng *rand.Rand) exercise {
	who, team, town := some(rng, people, 3), some(rng, teams, 3), some(rng, towns, 3)
	var facts []string
	plays, from, place := make([]string, 3), make([]string, 3), make([]string, 3)
	for i, name := range who {
		place[i] = pick(rng, sides) + " " + town[i]
		plays[i] = fmt.Sprintf("%s plays for the %s.", name, team[i])
		from[i] = fmt.Sprintf("The %s come from %s.", team[i], place[i])
		facts = append(facts, plays[i], from[i])
	}
	asked := rng.IntN(len(who))
	return exercise{
		question: strings.Join(some(rng, facts, len(facts)), " ") + fmt.Sprintf(" Where does the team of %s come from?", who[asked]),
		answer:   place[asked],
		worked:   plays[asked] + " " + from[asked] + "\n" + boxed(place[asked]),
		blurt:    func(rng *rand.Rand) string { return boxed(pick(rng, sides) + " " + pick(rng, town)) },
	}
}
