package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/justrl/justrl/sampler/dataset"
)

// The problems in the repository are those that the program makes.
func TestShippedProblems(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, 1, 1024, 64); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"train.jsonl", "heldout.jsonl"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another: make it again (go run ./examples/smollm2/make)", name)
		}
	}
}

var (
	worked = regexp.MustCompile(`(\d+) \+ (\d+) = \\boxed\{(\d+)\}\. `)
	wanted = regexp.MustCompile(`What is (\d+) \+ (\d+)\?$`)
)

// The answers are right, as the loader reads them, what is shown is right and
// does not give the question away, and no held-out sum is asked in training.
func TestProblemsAreRight(t *testing.T) {
	asked := map[string]string{} // a sum as text, the smaller number first → the file
	for _, name := range []string{"train.jsonl", "heldout.jsonl"} {
		source, err := dataset.Open(t.Context(), filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close() //nolint:errcheck // read only
		for i := range source.Len() {
			p, err := source.Problem(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			sums := append(worked.FindAllStringSubmatch(p.Question, -1), append(wanted.FindStringSubmatch(p.Question), p.Answer))
			if len(sums) != shown+1 {
				t.Fatalf("%s: %q shows %d sums, want %d", p.ID, p.Question, len(sums)-1, shown)
			}
			seen := map[string]bool{}
			for _, s := range sums {
				a, _ := strconv.Atoi(s[1])
				b, _ := strconv.Atoi(s[2])
				if fmt.Sprint(a+b) != s[3] || s[3] != p.Answer || seen[s[1]] {
					t.Fatalf("%s: %q, answer %s", p.ID, p.Question, p.Answer)
				}
				seen[s[1]] = true
			}
			last := sums[shown]
			key := min(last[1], last[2]) + "+" + max(last[1], last[2])
			if other, ok := asked[key]; ok && other != name {
				t.Fatalf("%s: %s is asked in %s and in %s", p.ID, key, other, name)
			}
			asked[key] = name
		}
	}
	if len(asked) < 10 {
		t.Errorf("only %d sums", len(asked))
	}
}
