package sampler

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
		h = splitmix64(h ^ x)
	}
	return int64(h >> (64 - seedBits))
}

// splitmix64 is the finalizer of Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators" (2014), with its increment added first.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
