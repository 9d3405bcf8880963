// Package jsonscan reads big JSON of a known shape as it comes off the wire:
// numbers go straight into slices, text into a buffer, and what nobody asked
// for is checked and skipped without being made into anything.
//
// It exists for the replies of inference servers: a vLLM's answer of eight
// rollouts of 15,360 tokens is 16 MiB of JSON of which 1 MiB is used.
//
// It accepts what encoding/json accepts, to the byte: its grammar, its depth
// (10,000), its reading of invalid UTF-8 and lone surrogates (U+FFFD), names
// that differ in case, and the last of two equal names. Two things are stricter
// on purpose: null is no number in [Scanner.Int32s] and [Scanner.Float32s],
// where encoding/json would leave 0.
//
// Deliberately absent: reflection, interfaces, numbers of other kinds.
package jsonscan
