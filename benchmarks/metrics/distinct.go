package metrics

import "math/bits"

// Distinct counts the 4-grams of words of one problem's responses, those that
// differ and all. Words lie between white space as Python's str.split has it:
// U+001C … U+001F, U+0085, U+00A0, U+2028, U+3000 are, U+200B is not.
//
// A 4-gram is known by 64 bits of hash. That two of n fall together has a
// probability of n²/2⁶⁵, for the half million of 32 long answers 7 in a billion,
// and would change the share by 2 in a million. Memory is 16 to 32 bytes a
// distinct 4-gram. It is not safe for concurrent use; its zero value is empty.
type Distinct struct {
	set   hashes
	total int
	grams []uint64 // of the response at hand
}

// Add counts the 4-grams of a response; none crosses from one into the next.
func (d *Distinct) Add(response string) {
	d.grams = fourGrams(d.grams[:0], response)
	d.total += len(d.grams)
	d.set.add(d.grams)
}

// Share is distinct by all, 0 where there are none.
func (d *Distinct) Share() float64 {
	if d.total == 0 {
		return 0
	}
	return float64(d.set.count) / float64(d.total)
}

// Reset empties it for the next problem, and keeps its memory.
func (d *Distinct) Reset() {
	d.total = 0
	d.set.reset()
}

// Numbers without a pattern (the fractional digits of π).
const (
	pi0 = 0x243f6a8885a308d3
	pi1 = 0x13198a2e03707344
	pi2 = 0xa4093822299f31d0
	pi3 = 0x082efa98ec4e6c89
	pi4 = 0x452821e638d01377
)

// fold mixes two words into one: both halves of their product.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// fourGrams appends the hash of every 4-gram. A pair's hash serves two of them.
func fourGrams(to []uint64, s string) []uint64 {
	var last uint64     // word
	var pairs [3]uint64 // of the words before, the newest first
	words := 0
	for i := 0; i < len(s); {
		if n := spaceAt(s, i); n > 0 {
			i += n
			continue
		}
		start := i
		for i < len(s) && (class[s[i]] == inWord || class[s[i]] == maySpace && spaceAt(s, i) == 0) {
			i++
		}
		w := wordHash(s[start:i])
		words++
		pairs[2], pairs[1], pairs[0] = pairs[1], pairs[0], fold(last^pi0, w^pi1)
		last = w
		if words >= 4 {
			to = append(to, fold(pairs[2]^pi2, pairs[0]^pi3))
		}
	}
	return to
}

const (
	inWord   = iota
	isSpace  // a character of white space in itself
	maySpace // the first byte of such a one
)

var class = [256]uint8{
	'\t': isSpace, '\n': isSpace, '\v': isSpace, '\f': isSpace, '\r': isSpace, 0x1c: isSpace, 0x1d: isSpace, 0x1e: isSpace, 0x1f: isSpace, ' ': isSpace,
	0xc2: maySpace, 0xe1: maySpace, 0xe2: maySpace, 0xe3: maySpace,
}

// spaceAt is how many bytes of white space begin at s[i]: 0 if none do.
func spaceAt(s string, i int) int {
	switch class[s[i]] {
	case isSpace:
		return 1
	case maySpace:
		return wideSpace(s[i:])
	}
	return 0
}

func wideSpace(s string) int {
	if len(s) >= 2 && s[0] == 0xc2 {
		if s[1] == 0x85 || s[1] == 0xa0 {
			return 2
		}
		return 0
	}
	if len(s) < 3 {
		return 0
	}
	switch s[:3] {
	case "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
		"\u2028", "\u2029", "\u202f", "\u205f", "\u3000":
		return 3
	}
	return 0
}

func load4(s string, i int) uint64 {
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24
}

func load8(s string, i int) uint64 { return load4(s, i) | load4(s, i+4)<<32 }

// wordHash reads 16 bytes at a time, the last ones overlapping.
func wordHash(s string) uint64 {
	n := len(s)
	h := uint64(pi4)
	var a, b uint64
	switch {
	case n > 16:
		for i := 0; i+16 < n; i += 16 {
			h = fold(load8(s, i)^pi0, load8(s, i+8)^h)
		}
		a, b = load8(s, n-16), load8(s, n-8)
	case n >= 8:
		a, b = load8(s, 0), load8(s, n-8)
	case n >= 4:
		a, b = load4(s, 0), load4(s, n-4)
	default: // 1 to 3
		a = uint64(s[0])<<16 | uint64(s[n/2])<<8 | uint64(s[n-1])
	}
	return fold(pi1^uint64(n), fold(a^pi2, b^h))
}

// hashes is a set with open addressing.
type hashes struct {
	slots []uint64 // a power of two, at most half full; 0 is free
	count int
	zero  bool // 0 itself is in
}

func (h *hashes) add(all []uint64) {
	if 2*(h.count+len(all)) > len(h.slots) {
		h.grow(h.count + len(all))
	}
	mask := uint64(len(h.slots) - 1)
	for _, x := range all {
		i := x & mask
		for h.slots[i] != x && h.slots[i] != 0 {
			i = (i + 1) & mask
		}
		if h.slots[i] == x && x != 0 {
			continue
		}
		if x == 0 {
			if !h.zero {
				h.zero = true
				h.count++
			}
			continue
		}
		h.slots[i] = x
		h.count++
	}
}

func (h *hashes) grow(room int) {
	old := h.slots
	h.slots = make([]uint64, max(1<<12, 1<<bits.Len(uint(2*room-1))))
	mask := uint64(len(h.slots) - 1)
	for _, x := range old {
		if x == 0 {
			continue
		}
		i := x & mask
		for h.slots[i] != 0 {
			i = (i + 1) & mask
		}
		h.slots[i] = x
	}
}

func (h *hashes) reset() {
	if 16*h.count < len(h.slots) { // one long problem must not slow down all that follow
		h.slots = nil
	}
	clear(h.slots)
	h.count, h.zero = 0, false
}
