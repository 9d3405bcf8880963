package splitmix

import "testing"

// The first outputs of the generator with seed 0, as its authors' C code gives
// them (https://prng.di.unimi.it/splitmix64.c).
func TestMix(t *testing.T) {
	const increment = 0x9e3779b97f4a7c15
	state := uint64(0)
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := Mix(state); got != want {
			t.Errorf("output %d is %#x, want %#x", i, got, want)
		}
		state += increment
	}
}
