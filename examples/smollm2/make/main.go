// Command make makes the problems that SmolLM2-135M-Instruct is trained on in
// examples/smollm2: sums of two small numbers, each after three worked ones.
//
//	go run ./examples/smollm2/make --out examples/smollm2
//
// A model of this size writes no box of its own accord. Shown three, it
// sometimes writes one, and sometimes with the right number in it: rewards
// differ within a group, without which there is nothing to learn from.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", "examples/smollm2", "folder to write train.jsonl and heldout.jsonl into")
	seed := flag.Uint64("seed", 1, "seed of the problems")
	train := flag.Int("train", 1024, "training problems")
	held := flag.Int("held-out", 64, "held-out problems")
	flag.Parse()
	if err := run(*out, *seed, *train, *held); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(out string, seed uint64, train, held int) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	asked, kept := split(rng)
	return errors.Join(
		write(filepath.Join(out, "train.jsonl"), "train", draw(rng, asked, train)),
		write(filepath.Join(out, "heldout.jsonl"), "heldout", draw(rng, kept, held)),
	)
}

// pair is two numbers to be added.
type pair struct{ a, b int }

// The sums that are asked for.
const lowest, highest = 5, 9

// split deals the pairs by chance: what is asked in a held-out problem is
// asked in no training problem, in either order.
func split(rng *rand.Rand) (train, held []pair) {
	var all []pair
	for sum := lowest; sum <= highest; sum++ {
		for a := 1; 2*a <= sum; a++ {
			all = append(all, pair{a, sum - a})
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, p := range all {
		part := &train
		if i%4 == 0 {
			part = &held
		}
		*part = append(*part, p)
		if p.a != p.b {
			*part = append(*part, pair{p.b, p.a})
		}
	}
	return train, held
}

// problem is one question and its answer.
type problem struct{ question, answer string }

// draw makes n problems, none twice.
func draw(rng *rand.Rand, pairs []pair, n int) []problem {
	var out []problem
	seen := map[string]bool{}
	for len(out) < n {
		p := ask(rng, pairs[rng.IntN(len(pairs))])
		if !seen[p.question] {
			seen[p.question] = true
			out = append(out, p)
		}
	}
	return out
}

// shown is the worked sums of a question.
const shown = 3

// ask writes the question for p: other ways to the same sum, then p.
func ask(rng *rand.Rand, p pair) problem {
	sum := p.a + p.b
	var text strings.Builder
	for _, a := range rng.Perm(sum - 1) {
		if a++; a == p.a {
			continue
		}
		fmt.Fprintf(&text, "%d + %d = \\boxed{%d}. ", a, sum-a, sum)
		if strings.Count(text.String(), "boxed") == shown {
			break
		}
	}
	fmt.Fprintf(&text, "What is %d + %d?", p.a, p.b)
	return problem{text.String(), fmt.Sprint(sum)}
}

// row is a line of a file, in DAPO's schema.
type row struct {
	Prompt []message         `json:"prompt"`
	Reward map[string]string `json:"reward_model"`
	Extra  map[string]string `json:"extra_info"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func write(path, set string, problems []problem) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i, p := range problems {
		if err := enc.Encode(row{
			Prompt: []message{{"user", p.question}},
			Reward: map[string]string{"ground_truth": p.answer},
			Extra:  map[string]string{"index": fmt.Sprintf("%s-%04d", set, i)},
		}); err != nil {
			return err
		}
	}
	return w.Flush()
}
