package sampler

import "github.com/justrl/justrl/internal/splitmix"

// seedBits leaves base seeds below 2^52: any JSON implementation holds them
// exactly, and adding a sample's index cannot overflow.
const seedBits = 52

// RowSeed is the base seed of a row: a fixed function of the run's seed, the
// step and the row's ordinal, uniform over [0, 2^52). Sample j of the row
// draws from the stream RowSeed + j, so that any rollout can be asked for
// again alone. Neither depends on concurrency, retries or earlier steps.
func RowSeed(runSeed int64, step int, ordinal int64) int64 {
	h := uint64(0)
	for _, x := range [...]uint64{uint64(runSeed), uint64(step), uint64(ordinal)} {
		h = splitmix.Mix(h ^ x)
	}
	return int64(h >> (64 - seedBits))
}
