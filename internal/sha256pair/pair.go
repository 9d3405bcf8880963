package sha256pair

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/sync/errgroup"
)

// worth is how many bytes make the detour over the sums' states worth it.
const worth = 16 << 10

// Write adds p to a and to b, which are distinct sums of [crypto/sha256.New].
// Where the processor cannot interleave them, each has a goroutine of its own,
// which has ended when Write returns. It fails only on sums of other packages.
func Write(a, b hash.Hash, p []byte) error {
	if len(p) < worth {
		a.Write(p) // a hash's Write never fails
		b.Write(p)
		return nil
	}
	if !interleaves {
		var g errgroup.Group
		g.Go(func() error { a.Write(p); return nil })
		b.Write(p)
		return g.Wait()
	}
	var sa, sb state
	pa, err := sa.take(a, p)
	if err != nil {
		return err
	}
	pb, err := sb.take(b, p)
	if err != nil {
		return err
	}
	n := min(len(pa), len(pb)) / sha256.BlockSize
	blocks(&sa.words, &sb.words, &pa[0], &pb[0], n)
	if err := sa.give(a, n); err != nil {
		return err
	}
	if err := sb.give(b, n); err != nil {
		return err
	}
	a.Write(pa[n*sha256.BlockSize:])
	b.Write(pb[n*sha256.BlockSize:])
	return nil
}

// state is a sum between two blocks.
type state struct {
	words   [8]uint32 // in the order of the SHA instructions: F E B A H G D C
	encoded []byte    // as crypto/sha256 marshals it
}

// The encoding of crypto/sha256: magic, eight words of state, a block that is
// not yet full, and the number of bytes so far, all big endian.
const (
	magic       = "sha\x03"
	atWords     = len(magic)
	atLength    = atWords + sha256.Size + sha256.BlockSize
	encodedSize = atLength + 8
)

// order maps the words A…H to their places in state.words.
var order = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

// take fills h's block with the beginning of p, reads its state and returns the rest.
func (s *state) take(h hash.Hash, p []byte) (rest []byte, err error) {
	if err := s.read(h); err != nil {
		return nil, err
	}
	if over := binary.BigEndian.Uint64(s.encoded[atLength:]) % sha256.BlockSize; over > 0 {
		h.Write(p[:sha256.BlockSize-over])
		p = p[sha256.BlockSize-over:]
		if err := s.read(h); err != nil {
			return nil, err
		}
	}
	for i, at := range order {
		s.words[at] = binary.BigEndian.Uint32(s.encoded[atWords+4*i:])
	}
	return p, nil
}

func (s *state) read(h hash.Hash) (err error) {
	m, ok := h.(encoding.BinaryAppender)
	if !ok {
		return fmt.Errorf("sha256pair: %T is no sum of crypto/sha256", h)
	}
	s.encoded, err = m.AppendBinary(s.encoded[:0])
	if err == nil && (len(s.encoded) != encodedSize || string(s.encoded[:atWords]) != magic) {
		err = fmt.Errorf("sha256pair: %T is no sum of crypto/sha256", h)
	}
	return err
}

// give puts the state back into h, n blocks later.
func (s *state) give(h hash.Hash, n int) error {
	for i, at := range order {
		binary.BigEndian.PutUint32(s.encoded[atWords+4*i:], s.words[at])
	}
	length := s.encoded[atLength:]
	binary.BigEndian.PutUint64(length, binary.BigEndian.Uint64(length)+uint64(n)*sha256.BlockSize)
	return h.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.encoded)
}
