// Package splitmix scrambles numbers: the seeds of rollouts, the order of rows
// and the random numbers of tokens are made of nothing else.
package splitmix

// Mix is the finalizer of Steele, Lea, Flood: "Fast splittable pseudorandom
// number generators" (2014), with its increment added first: a bijection of 64
// bits in which every bit of x decides over all of the result.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}
