package dataset

import (
	"math/bits"

	"github.com/justrl/justrl/internal/splitmix"
)

// permutation is a bijection of [0, n) that a key picks, computed one value at
// a time: a balanced Feistel network over the next power of four, walked until
// it lands inside (Black, Rogaway: "Ciphers with arbitrary finite domains",
// 2002). The walk takes fewer than four turns in the mean.
type permutation struct {
	n    uint64
	half uint // bits of each half
	// shift is added first: Feistel networks are even permutations, adding an odd number is an odd one.
	shift uint64
	keys  [12]uint64
}

// newPermutation is a fixed function of its arguments: an order that a run has
// begun must never change.
func newPermutation(n int64, seed int64, epoch int) permutation {
	p := permutation{n: uint64(n), half: max(1, uint(bits.Len64(uint64(n-1))+1)/2)}
	key := splitmix.Mix(splitmix.Mix(uint64(seed)) ^ uint64(epoch))
	for i := range p.keys {
		key = splitmix.Mix(key)
		p.keys[i] = key
	}
	p.shift = splitmix.Mix(key)
	return p
}

// at returns where position i < n goes.
func (p *permutation) at(i int64) int64 {
	x := uint64(i)
	mask := uint64(1)<<p.half - 1
	for {
		x += p.shift
		left, right := x>>p.half&mask, x&mask
		for _, k := range p.keys {
			left, right = right, left^(splitmix.Mix(right^k)&mask)
		}
		if x = left<<p.half | right; x < p.n {
			return int64(x)
		}
	}
}
