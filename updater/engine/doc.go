// Package engine generates: it runs many sequences at once through a [Model],
// a token of each in every pass, and lets new ones in as others end
// (continuous batching). It is pure Go; updater/torch has the model.
//
// # What an answer depends on
//
// A sample is a function of the weights, the prompt, its parameters and its
// seed. What else is in the batch, how many sequences fit, when a request
// came, whether it was interrupted by a load or put aside for lack of memory:
// none of it changes a bit, because a [Model]'s rows do not see one another
// and the random number of a token is a function of seed and position.
//
// # Memory
//
// The cache is cut into blocks of 16 tokens. The samples of a request share
// the blocks of their prompt. When no block is left, the youngest sequence
// loses its own and is computed again later; the oldest always goes on, so
// that everything ends.
//
// # Deliberately absent
//
// A prefix cache across requests (nothing to go stale when weights change),
// beam search, speculative decoding, guided decoding.
package engine
