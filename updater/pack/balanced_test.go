package pack

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBalanced(t *testing.T) {
	for _, tc := range []struct {
		name    string
		lengths []int
		budget  int
		want    [][]int
	}{
		{"nothing", nil, 10, nil},
		{"one pack", []int{3, 4}, 10, [][]int{{0, 1}}},
		{"more packs than sequences", []int{30}, 10, [][]int{{0}}},
		// Differences: 8−7 = 1, 6−5 = 1, 4−1 = 3, 3−1 = 2.
		{"the textbook's", []int{8, 7, 6, 5, 4}, 15, [][]int{{1, 3, 4}, {0, 2}}},
		{"exactly full", []int{5, 5, 5, 5}, 10, [][]int{{1, 3}, {0, 2}}},
	} {
		got := Balanced(tc.lengths, tc.budget)
		if sums(tc.lengths, got) != sums(tc.lengths, tc.want) {
			t.Errorf("%s: %v of lengths %v, want as even as %v", tc.name, got, tc.lengths, tc.want)
		}
	}
}

// sums is the longest and the shortest pack.
func sums(lengths []int, packs [][]int) (out [2]int) {
	for i, p := range packs {
		n := 0
		for _, j := range p {
			n += lengths[j]
		}
		if i == 0 {
			out = [2]int{n, n}
		}
		out = [2]int{max(out[0], n), min(out[1], n)}
	}
	return out
}

// Every sequence once, as many packs as asked for, none of them empty, and not
// further apart than the longest sequence.
func TestBalancedProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		lengths := make([]int, 1+rng.IntN(40))
		total := 0
		for i := range lengths {
			lengths[i] = 1 + rng.IntN(100)
			total += lengths[i]
		}
		budget := 1 + rng.IntN(200)
		packs := Balanced(lengths, budget)
		if want := min(len(lengths), (total+budget-1)/budget); len(packs) != want {
			t.Fatalf("%d packs of %v at %d, want %d", len(packs), lengths, budget, want)
		}
		all := slices.Concat(packs...)
		slices.Sort(all)
		for i, j := range all {
			if i != j || len(all) != len(lengths) {
				t.Fatalf("%v does not have every sequence once", packs)
			}
		}
		if s := sums(lengths, packs); s[1] == 0 || s[0]-s[1] > slices.Max(lengths) {
			t.Fatalf("packs %v of %v are %v long", packs, lengths, s)
		}
	}
}

// verl's own partitions (../shared/kits, kit 3).
func TestBalancedKit(t *testing.T) {
	for _, model := range []string{"a_qwen2_tied", "c_llama_rope3"} {
		path := filepath.Join("..", "..", "..", "shared", "kits", "kit3", model, "reference.json")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Skipf("SKIPPED: %s is not on this machine", path)
		}
		var ref struct {
			Batch struct {
				Prompts   []int `json:"prompt_lengths"`
				Responses []int `json:"response_lengths"`
			}
			Micro []struct {
				Budget     int `json:"max_token_len"`
				Partitions [][]int
			}
		}
		if err := json.Unmarshal(raw, &ref); err != nil {
			t.Fatal(err)
		}
		lengths := make([]int, len(ref.Batch.Prompts))
		for i, n := range ref.Batch.Prompts {
			lengths[i] = n + ref.Batch.Responses[i]
		}
		for _, m := range ref.Micro {
			if diff := cmp.Diff(m.Partitions, Balanced(lengths, m.Budget)); diff != "" {
				t.Errorf("%s at %d tokens (-verl's +ours):\n%s", model, m.Budget, diff)
			}
		}
		if len(ref.Micro) < 3 {
			t.Errorf("%s: %d partitions", model, len(ref.Micro))
		}
	}
}
