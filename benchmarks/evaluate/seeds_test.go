package evaluate

import (
	"slices"
	"testing"
)

func TestSeeds(t *testing.T) {
	all := Seeds(1, "AIME24", 4096)
	seen := map[int64]bool{}
	for _, s := range all {
		if s < 0 || s >= 1<<31 || seen[s] {
			t.Fatalf("seed %d is out of range or there twice", s)
		}
		seen[s] = true
	}
	if !slices.Equal(Seeds(1, "AIME24", 32), all[:32]) {
		t.Error("a repeat's seed depends on how many there are")
	}
	for _, other := range [][]int64{Seeds(2, "AIME24", 32), Seeds(1, "AIME25", 32), Seeds(-1, "AIME24", 32)} {
		for _, s := range other {
			if slices.Contains(all[:32], s) {
				t.Errorf("seed %d is another evaluation's too", s)
			}
		}
	}
	// Fixed for good: what is in a folder must be found again by later versions.
	if got, want := Seeds(0, "AIME24", 3), []int64{46658085, 130306840, 604011545}; !slices.Equal(got, want) {
		t.Errorf("seeds %d, want %d", got, want)
	}
}
