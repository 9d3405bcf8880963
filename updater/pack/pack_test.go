package pack

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFirstFitDecreasing(t *testing.T) {
	for name, c := range map[string]struct {
		lengths []int
		budget  int
		want    [][]int
	}{
		"none":                       {nil, 10, nil},
		"one":                        {[]int{3}, 10, [][]int{{0}}},
		"exactly full":               {[]int{3, 4, 3}, 10, [][]int{{0, 1, 2}}},
		"one token too many":         {[]int{3, 4, 4}, 10, [][]int{{0}, {1, 2}}},
		"the longest first":          {[]int{2, 5, 8, 5}, 10, [][]int{{0, 2}, {1, 3}}},
		"ties by index":              {[]int{5, 5, 5}, 10, [][]int{{0, 1}, {2}}},
		"longer than the budget":     {[]int{1, 11, 1}, 10, [][]int{{0, 2}, {1}}},
		"all longer than the budget": {[]int{4, 4}, 3, [][]int{{0}, {1}}},
		"empty ones":                 {[]int{0, 10, 0}, 10, [][]int{{0, 1, 2}}},
		// Next-fit would need a third pack: the first pack with room is looked for, not the last.
		"the first with room": {[]int{7, 6, 4, 3}, 10, [][]int{{0, 3}, {1, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, FirstFitDecreasing(c.lengths, c.budget)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// What the documentation promises, on random lengths.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		budget := 1 + r.IntN(100)
		lengths := make([]int, r.IntN(60))
		total, over := 0, 0
		for i := range lengths {
			lengths[i] = 1 + r.IntN(120)
			if lengths[i] > budget {
				over++
			} else {
				total += lengths[i]
			}
		}
		before := slices.Clone(lengths)
		packs := FirstFitDecreasing(lengths, budget)
		if !slices.Equal(before, lengths) {
			t.Fatal("the input changed")
		}
		seen := map[int]bool{}
		last := -1
		for _, p := range packs {
			if !slices.IsSorted(p) || p[0] <= last {
				t.Fatalf("order of %v", packs)
			}
			last = p[0]
			sum := 0
			for _, i := range p {
				if seen[i] {
					t.Fatalf("%d occurs twice in %v", i, packs)
				}
				seen[i] = true
				sum += lengths[i]
			}
			if sum > budget && len(p) > 1 {
				t.Fatalf("pack %v holds %d tokens, budget %d", p, sum, budget)
			}
		}
		if len(seen) != len(lengths) {
			t.Fatalf("%d of %d sequences packed", len(seen), len(lengths))
		}
		// No fewer than the tokens need; and at most one pack of those that fit is half empty or less.
		fewest := over + (total+budget-1)/budget
		if len(packs) < fewest || len(packs)-over > 2*total/budget+1 {
			t.Fatalf("%d packs for %v, budget %d", len(packs), lengths, budget)
		}
	}
}
