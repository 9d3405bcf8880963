package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/reward"
)

// verifierFor is the verifier of the example's run.yaml.
func verifierFor(t *testing.T, r config.Reward) sampler.Verifier {
	t.Helper()
	switch r.Verifier {
	case config.VerifierExact:
		return reward.Exact{IgnoreCase: r.IgnoreCase, IgnoreSpace: r.IgnoreSpace, IgnorePunctuation: r.IgnorePunctuation}
	case config.VerifierChoice:
		return reward.Choice{}
	case config.VerifierF1:
		return reward.F1{Threshold: r.Threshold}
	}
	t.Fatalf("verifier %q", r.Verifier)
	return nil
}

// runConfig is an example's run.yaml over its preset.
func runConfig(t *testing.T, name string) config.Config {
	t.Helper()
	path := filepath.Join("..", name, "run.yaml")
	preset, err := config.PresetOf(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Preset(preset)
	if err == nil {
		err = c.LoadFile(path)
	}
	if err := errors.Join(err, c.Validate()); err != nil {
		t.Fatal(err)
	}
	return c
}

func problems(t *testing.T, c config.Config, path string) (all []sampler.Problem) {
	t.Helper()
	p := c.Problems
	src, err := dataset.OpenColumns(context.Background(), filepath.Join("..", "..", path),
		dataset.Columns{Question: p.Question, Answer: p.Answer, ID: p.ID, Choices: p.Choices, AnswerIs: p.AnswerIs})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for i := range src.Len() {
		problem, err := src.Problem(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, problem)
	}
	return all
}

// The committed files are what the program makes; a run asks what the warm-up
// asked; what is worked out is right under the run's reward, and a blurted
// answer seldom.
func TestExamples(t *testing.T) {
	o := options{out: t.TempDir(), seed: 1, train: 2000, heldOut: 200}
	for _, task := range tasks() {
		t.Run(task.name, func(t *testing.T) {
			if err := os.Mkdir(filepath.Join(o.out, task.name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := writeProblems(o, task); err != nil {
				t.Fatal(err)
			}
			for _, set := range []string{"train", "heldout"} {
				made, err := os.ReadFile(filepath.Join(o.out, task.name, set+task.ending))
				if err != nil {
					t.Fatal(err)
				}
				there, err := os.ReadFile(filepath.Join("..", task.name, set+task.ending))
				if err != nil || string(made) != string(there) {
					t.Errorf("%s is not what the program makes (%v)", set, err)
				}
			}
			c := runConfig(t, task.name)
			verify := verifierFor(t, c.Reward)
			train, held := task.split(o.generator(), o.train, o.heldOut)
			seen := map[string]bool{}
			rng := rand.New(rand.NewPCG(5, 6))
			message, err := dataset.ParseMessage(c.Problems.Instruction)
			if err != nil {
				t.Fatal(err)
			}
			lucky := 0.0
			for _, set := range []struct {
				path string
				want []exercise
			}{{c.Data, train}, {c.Validation.Data[0], held}} {
				read := problems(t, c, set.path)
				if len(read) != len(set.want) {
					t.Fatalf("%s: %d problems, want %d", set.path, len(read), len(set.want))
				}
				for i, p := range read {
					e := set.want[i]
					if asked, err := message.Of(p); err != nil || asked != task.message(e) {
						t.Fatalf("a run asks %q (%v), the warm-up %q", asked, err, task.message(e))
					} else if seen[asked] {
						t.Errorf("asked twice: %q", asked)
					} else {
						seen[asked] = true
					}
					if s, err := verify.Verify(t.Context(), e.worked, p.Answer); err != nil || !s.Correct || s.Reward != 1 {
						t.Fatalf("worked out, %q for %q: %+v, %v", e.worked, p.Answer, s, err)
					}
					if s, err := verify.Verify(t.Context(), e.blurt(rng), p.Answer); err != nil {
						t.Fatal(err)
					} else if s.Correct {
						lucky += 1 / float64(o.train+o.heldOut)
					}
				}
			}
			if lucky < 0.02 || lucky > 0.35 {
				t.Errorf("a blurted answer is right %.2f of the time", lucky)
			}
		})
	}
}

// The reasoning of a puzzle, checked in another way: what each says is true if
// and only if they are no liar.
func TestLogicIsSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		e := drawLiars(rng)
		liar := map[string]bool{}
		if e.answer != "nobody" {
			for name := range strings.SplitSeq(e.answer, ", ") {
				liar[name] = true
			}
		}
		for fact := range strings.SplitSeq(strings.TrimSuffix(e.question, " Who is a liar?"), ".") {
			w := strings.Fields(fact)
			switch len(w) {
			case 0:
			case 3, 4: // Ann is honest; Ann is a liar
				if liar[w[0]] != (w[len(w)-1] == "liar") {
					t.Fatalf("%s: %s", e.question, e.answer)
				}
			default: // Bob says Ann is …
				if true_ := liar[w[2]] == (w[len(w)-1] == "liar"); true_ == liar[w[0]] {
					t.Fatalf("%s: %s", e.question, e.answer)
				}
			}
		}
	}
}
