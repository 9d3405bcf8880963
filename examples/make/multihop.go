package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// multihop is questions that take two facts to answer: for which team somebody
// plays, and where that comes from. A place has two words, so that half an answer has half a reward.
func multihop() task {
	return task{
		name: "multihop", instruction: `Put the place within \boxed{}.`, ending: ".jsonl", practice: 0.7, updates: 1500, batch: 96, lr: 1e-3,
		draw:  func(rng *rand.Rand) exercise { return drawHops(rng, 3) },
		drill: drillHops,
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

// drillHops is a question to work out, or one whose facts are to be put in order,
// of two people to four. Nothing of an answer then stands at a fixed distance
// from its source, and there is much to look up: from the question's answers alone
// a small model does not learn to look up at all.
func drillHops(rng *rand.Rand) exercise {
	e := drawHops(rng, 2+rng.IntN(3))
	if rng.IntN(2) == 0 {
		e.worked = e.sorted
	}
	return e
}

// drawHops is a question about one of n people. What belongs together stands together, and no word of it stands elsewhere:
// that is as much as a model of three layers can look up.
func drawHops(rng *rand.Rand, n int) exercise {
	who, team, side, town := some(rng, people, n), some(rng, teams, n), some(rng, sides, n), some(rng, towns, n)
	plays, homes, place := make([]string, n), make([]string, n), make([]string, n)
	for i := range who {
		place[i] = side[i] + " " + town[i]
		plays[i] = who[i] + " " + team[i]
		homes[i] = team[i] + " " + place[i]
	}
	asked := rng.IntN(n)
	return exercise{
		sorted: fmt.Sprintf("Teams: %s. Homes: %s.", inOrder(plays), inOrder(homes)),
		question: fmt.Sprintf("Teams: %s. Homes: %s. Where is the team of %s at home?",
			strings.Join(some(rng, plays, n), ", "), strings.Join(some(rng, homes, n), ", "), who[asked]),
		answer: place[asked],
		worked: fmt.Sprintf("Team: %s. Home: %s.\n%s", plays[asked], homes[asked], boxed(place[asked])),
		blurt:  func(rng *rand.Rand) string { return boxed(pick(rng, side) + " " + pick(rng, town)) },
	}
}

func inOrder(facts []string) string { return strings.Join(slices.Sorted(slices.Values(facts)), ", ") }
