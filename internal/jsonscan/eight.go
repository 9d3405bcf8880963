package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// Eight bytes at a time: a branch a token in the place of one a byte, which a
// processor would guess wrong at the end of every token.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainRun is the index of the first byte from i on that ends a string's plain
// run, or len(b).
func plainRun(b []byte, i int) int {
	for i+8 <= len(b) {
		v := binary.LittleEndian.Uint64(b[i:])
		// The lowest of the bits is right; those above it may be a borrow's.
		quote, slash := v^'"'*ones, v^'\\'*ones
		if m := ((v-0x20*ones)&^v | (quote-ones)&^quote | (slash-ones)&^slash) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(b) && !special[b[i]] {
		i++
	}
	return i
}

// notDigits has bits in the bytes of v that are no digits; the lowest is right.
func notDigits(v uint64) uint64 {
	const high, threes, sixes = 0xf0 * ones, 0x30 * ones, 0x06 * ones
	return (v&high ^ threes) | ((v+sixes)&high ^ threes)
}

// afterDigits is the index of the first byte from i on that is no digit, or len(b).
func afterDigits(b []byte, i int) int {
	for i+8 <= len(b) {
		if m := notDigits(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(b) && digit(b[i]) {
		i++
	}
	return i
}

var tens = [9]uint64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000}

// digits reads digits from b[i:] on behind those of m, and gives the index
// after them; over 19 of them, m is of no use.
func digits(b []byte, i int, m uint64) (uint64, int) {
	for i+8 <= len(b) {
		v := binary.LittleEndian.Uint64(b[i:])
		count := bits.TrailingZeros64(notDigits(v)) / 8 // 8 if all are
		// What is behind the digits is shifted out, and zeros come in before them.
		v = (v - 0x30*ones) << (64 - 8*count)
		// Neighbours are joined, in all eight at once: to pairs, to fours, to the whole.
		v = v*10 + v>>8
		v = (v&0x000000ff000000ff*(100+1000000<<32) + v>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
		m, i = m*tens[count]+v, i+count
		if count < 8 {
			return m, i
		}
	}
	for ; i < len(b) && digit(b[i]); i++ {
		m = m*10 + uint64(b[i]-'0')
	}
	return m, i
}
