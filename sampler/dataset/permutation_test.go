package dataset

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func order(n, seed int64, epoch int) []int64 {
	p := newPermutation(n, seed, epoch)
	out := make([]int64, n)
	for i := range out {
		out[i] = p.at(int64(i))
	}
	return out
}

// A run that was begun with an older build must go on in the same order.
func TestOrderNeverChanges(t *testing.T) {
	tests := []struct {
		seed  int64
		epoch int
		want  []int64
	}{
		{1, 0, []int64{10, 11, 1, 3, 4, 0, 2, 6, 8, 9, 5, 7}},
		{1, 1, []int64{1, 3, 2, 4, 10, 9, 6, 7, 11, 8, 0, 5}},
		{2, 0, []int64{0, 5, 7, 3, 2, 9, 11, 1, 4, 10, 6, 8}},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprintf("seed %d epoch %d", tc.seed, tc.epoch), func(t *testing.T) {
			if diff := cmp.Diff(tc.want, order(12, tc.seed, tc.epoch)); diff != "" {
				t.Errorf("order of 12 rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryRowOnceAnEpoch(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 4, 5, 16, 17, 30, 64, 65, 1000, 4097} {
		for epoch := range 3 {
			got := order(n, 7, epoch)
			slices.Sort(got)
			for i, x := range got {
				if x != int64(i) {
					t.Fatalf("n = %d, epoch %d: not a permutation: %v", n, epoch, got)
				}
			}
		}
	}
}

// All 120 orders of five rows must be equally likely over the seeds, and where
// a row of a larger dataset goes must not depend on where it was.
func TestOrdersAreUniform(t *testing.T) {
	counts := map[string]int{}
	const seeds = 24_000
	for seed := range int64(seeds) {
		counts[fmt.Sprint(order(5, seed, 0))]++
	}
	if chi2 := chiSquare(120, seeds, counts); chi2 > 200 { // 119 degrees of freedom: 5.2 standard deviations
		t.Errorf("orders of 5: χ² = %.0f over %d orders", chi2, len(counts))
	}
	pairs := map[string]int{}
	for seed := range int64(1000) {
		for i, x := range order(30, seed, 0) {
			pairs[fmt.Sprint(i, x)]++
		}
	}
	if chi2 := chiSquare(900, 30_000, pairs); chi2 > 1050 { // 29² = 841 degrees of freedom: 5.1 standard deviations
		t.Errorf("places of 30: χ² = %.0f", chi2)
	}
}

func chiSquare(cells, draws int, counts map[string]int) float64 {
	want := float64(draws) / float64(cells)
	sum := float64(cells-len(counts)) * want
	for _, n := range counts {
		d := float64(n) - want
		sum += d * d / want
	}
	return sum
}

func BenchmarkPermutation(b *testing.B) {
	p := newPermutation(1_790_000, 1, 0)
	for i := range b.N {
		p.at(int64(i % 1_790_000))
	}
}
