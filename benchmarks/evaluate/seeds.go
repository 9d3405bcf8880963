package evaluate

import "github.com/justrl/justrl/internal/splitmix"

// seedBits: the authors draw from [0, 2^31 - 1); this is [0, 2^31), which every
// server takes.
const seedBits = 31

// Seeds are those of the repeats 0 … n-1 of a set: distinct, and a fixed
// function of the evaluation's seed, the set's name and the repeat, whatever n
// is. As with the authors, all problems share a repeat's seed; other prompt
// templates have the same seeds, so that they can be compared in pairs.
func Seeds(seed int64, set string, n int) []int64 {
	h := splitmix.Mix(uint64(seed))
	for _, b := range []byte(set) {
		h = splitmix.Mix(h ^ uint64(b))
	}
	out := make([]int64, 0, n)
	taken := make(map[int64]bool, n)
	for i := uint64(0); len(out) < n; i++ {
		s := int64(splitmix.Mix(h^i) >> (64 - seedBits))
		if !taken[s] { // two draws in 2^31 may meet
			taken[s] = true
			out = append(out, s)
		}
	}
	return out
}
