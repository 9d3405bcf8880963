package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/dataset"
)

// task is a kind of exercise that is generated.
type task struct {
	name        string
	instruction string  // problems.instruction of its run.yaml
	ending      string  // of its files
	practice    float64 // share of the warm-up, from its start, with worked-out answers alone
	draw        func(*rand.Rand) exercise
	updates     int                       // of the warm-up; 0 = 500
	batch       int                       // answers an update; 0 = 128
	lr          float64                   // highest learning rate; 0 = 3e-3
	drill       func(*rand.Rand) exercise // what is practised, where draw's exercises do not teach it; nil = draw
	file        func(set string, e []exercise) ([]byte, error)
}

// exercise is one problem, with two manners of answering it.
type exercise struct {
	question string
	choices  []string
	answer   string // the ground truth as the file has it
	worked   string // step by step, which is right
	sorted   string // the facts in order, where that is practised
	blurt    func(*rand.Rand) string
}

func tasks() []task { return []task{logic(), commonsense(), multihop()} }

// split draws distinct exercises; none of train's questions is held out.
func (t task) split(rng *rand.Rand, train, held int) (forTrain, heldOut []exercise) {
	seen := map[string]bool{}
	var all []exercise
	for len(all) < train+held {
		e := t.draw(rng)
		key := e.question + strings.Join(e.choices, "\n")
		if !seen[key] {
			seen[key] = true
			all = append(all, e)
		}
	}
	return all[:train], all[train:]
}

// message is what the policy is asked: what `justrl run` asks with the example's run.yaml.
func (t task) message(e exercise) string {
	var lines []string
	for i, c := range e.choices {
		lines = append(lines, fmt.Sprintf("%c. %s", 'A'+i, c))
	}
	message, err := dataset.ParseMessage(t.instruction)
	if err != nil {
		panic(err) // it is a part of the program
	}
	text, err := message.Of(sampler.Problem{Question: e.question, Choices: strings.Join(lines, "\n")})
	if err != nil {
		panic(err)
	}
	return text
}

func boxed(answer string) string { return `The answer is \boxed{` + answer + "}." }

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// some is n of from, in random order.
func some[T any](rng *rand.Rand, from []T, n int) []T {
	out := make([]T, n)
	for i, j := range rng.Perm(len(from))[:n] {
		out[i] = from[j]
	}
	return out
}

// jsonLines writes one object an exercise.
func jsonLines(object func(id string, e exercise) any) func(string, []exercise) ([]byte, error) {
	return func(set string, all []exercise) ([]byte, error) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		for i, e := range all {
			if err := enc.Encode(object(fmt.Sprintf("%s-%04d", set, i), e)); err != nil {
				return nil, err
			}
		}
		return b.Bytes(), nil
	}
}

// table writes one row of CSV an exercise.
func table(header []string, row func(id string, e exercise) []string) func(string, []exercise) ([]byte, error) {
	return func(set string, all []exercise) ([]byte, error) {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		rows := [][]string{header}
		for i, e := range all {
			rows = append(rows, row(fmt.Sprintf("%s-%04d", set, i), e))
		}
		err := w.WriteAll(rows)
		return b.Bytes(), err
	}
}
