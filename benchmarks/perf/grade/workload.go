package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
)

// sets are the paper's, by their rows and answers to each: 12,184 in all.
var sets = []struct {
	name    string
	rows, n int
}{
	{"aime24", 30, 32}, {"aime25", 30, 32}, {"amc23", 40, 32}, {"math-500", 500, 4}, {"minerva", 272, 4},
	{"olympiad-bench", 674, 4}, {"hmmt25", 30, 32}, {"brumo25", 30, 32}, {"cmimc25", 40, 32},
}

// write makes the files that are not there yet and gives their paths.
func write(o options) ([]string, error) {
	rng := rand.New(rand.NewPCG(o.seed, 0))
	words := vocabulary(rng)
	var files []string
	for _, set := range sets {
		name, err := generations.NewName(set.name, 0.7, 0.9, set.n, 31744)
		if err != nil {
			return nil, err
		}
		path := o.path(name)
		files = append(files, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := writeSet(path, max(1, int(o.share*float64(set.rows))), set.n, o.bytes, words, rng); err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
	}
	return files, nil
}

func writeSet(path string, rows, n, bytes int, words []string, rng *rand.Rand) error {
	a, err := generations.Append(path, func(benchmarks.Generation) error { return nil })
	if err != nil {
		return err
	}
	for seed := range n {
		for id := range rows {
			truth := strconv.Itoa(id)
			g := benchmarks.Generation{ExampleID: id, Prompt: "What is it?", Answer: truth, Seed: int64(seed), Response: answer(bytes, truth, words, rng)}
			if err := a.Add(g); err != nil {
				return errors.Join(err, a.Close())
			}
		}
	}
	return a.Close()
}

// vocabulary is words of letters, digits and LaTeX, 1 to 9 characters.
func vocabulary(rng *rand.Rand) []string {
	const letters = `aaabcdeeefghiijklmnnoopqrrsstttuvwxyz0123456789\{}=+-^_$`
	words := make([]string, 20_000)
	for i := range words {
		b := make([]byte, 1+rng.IntN(9))
		for j := range b {
			b[j] = letters[rng.IntN(len(letters))]
		}
		words[i] = string(b)
	}
	return words
}

// answer is words, a line break after about every twentieth, and half the time a right box.
func answer(bytes int, truth string, words []string, rng *rand.Rand) string {
	var b strings.Builder
	b.Grow(bytes + 32)
	for b.Len() < bytes {
		b.WriteString(words[rng.IntN(len(words))])
		b.WriteByte(" \n"[max(0, rng.IntN(20)-18)])
	}
	if rng.IntN(2) == 0 {
		truth += "0"
	}
	b.WriteString(`\boxed{` + truth + `}`)
	return b.String()
}
