// Package sha256pair feeds the same bytes to two SHA-256 sums at little more
// than the price of one.
//
// One sum cannot keep a processor's SHA unit busy: each of its instructions
// waits for the one before. Two sums that take turns, block by block, can. A
// published snapshot needs two (of each file, and of its tensors by name), and
// hashing is most of the processor time that it costs.
//
// On amd64 processors with the SHA extensions the blocks go through assembly;
// everywhere else, and for what is left of a block, crypto/sha256 does it all.
// Deliberately absent: an implementation of its own of padding, short inputs
// or processors without the extensions.
package sha256pair
