package dataset

import "math/bits"

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
	key := mix(mix(uint64(seed)) ^ uint64(epoch))
	for i := range p.keys {
		key = mix(key)
		p.keys[i] = key
	}
	p.shift = mix(key)
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
			left, right = right, left^(mix(right^k)&mask)
		}
		if x = left<<p.half | right; x < p.n {
			return int64(x)
		}
	}
}

// mix is the output function of splitmix64 (Steele, Lea, Flood 2014), the increment added first.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
