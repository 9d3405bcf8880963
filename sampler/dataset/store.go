package dataset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"os"
	"strconv"

	"github.com/justrl/justrl/sampler"
)

// maxRemembered bounds the digests held while a store is filled (40 bytes
// each): past it, equal records that are far apart are written twice.
const maxRemembered = 1 << 21

// store holds records in a temporary file without a name, equal ones once.
// It is filled by add, sealed, and from then on read only.
type store struct {
	file    *os.File
	w       *bufio.Writer
	rows    []uint32 // row → record
	offsets []int64  // record → its first byte; one more for the end
	seen    map[[16]byte]uint32
	digest  hash.Hash
	sum     string
	scratch []byte
	fields  int // of a record: 4 with choices, else 3
}

func newStore(choices bool) (*store, error) {
	f, err := os.CreateTemp("", "justrl-rows-*")
	if err != nil {
		return nil, fmt.Errorf("make the row store: %w", err)
	}
	// The open file lives on without a name: nothing is left behind, however the process ends.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make the row store: %w", err), f.Close())
	}
	fields := 3
	if choices {
		fields = 4
	}
	return &store{
		fields: fields, file: f, w: bufio.NewWriterSize(f, 1<<18), offsets: []int64{0},
		seen: map[[16]byte]uint32{}, digest: sha256.New(),
	}, nil
}

func (s *store) add(r record) error {
	b := s.scratch[:0]
	fields := [...]string{r.id, r.question, r.answer, r.choices}
	for _, field := range fields[:s.fields] {
		b = binary.AppendUvarint(b, uint64(len(field)))
	}
	for _, field := range fields[:s.fields] {
		b = append(b, field...)
	}
	s.scratch = b

	sum := sha256.Sum256(b)
	s.digest.Write(sum[:])
	key := [16]byte(sum[:16])
	n, known := s.seen[key]
	if !known {
		if len(s.offsets) > math.MaxUint32 {
			return errors.New("has more than 2^32 distinct rows")
		}
		n = uint32(len(s.offsets) - 1)
		if _, err := s.w.Write(b); err != nil {
			return s.writeError(err)
		}
		s.offsets = append(s.offsets, s.offsets[n]+int64(len(b)))
		if len(s.seen) < maxRemembered {
			s.seen[key] = n
		}
	}
	s.rows = append(s.rows, n)
	return nil
}

func (s *store) seal() error {
	if err := s.w.Flush(); err != nil {
		return s.writeError(err)
	}
	s.sum = hex.EncodeToString(s.digest.Sum(nil))
	s.w, s.seen, s.digest, s.scratch = nil, nil, nil, nil
	return nil
}

func (s *store) writeError(err error) error {
	return fmt.Errorf("write the row store in %s (set TMPDIR to use another folder): %w", os.TempDir(), plain(err))
}

// Len implements Source.
func (s *store) Len() int64 { return int64(len(s.rows)) }

// Fingerprint implements Source.
func (s *store) Fingerprint() string { return s.sum }

// Close implements Source.
func (s *store) Close() error { return s.file.Close() }

// Problem implements Source.
func (s *store) Problem(ctx context.Context, i int64) (sampler.Problem, error) {
	if i < 0 || i >= s.Len() {
		return sampler.Problem{}, fmt.Errorf("row %d of a dataset of %d", i, s.Len())
	}
	if ctx.Err() != nil {
		return sampler.Problem{}, context.Cause(ctx)
	}
	n := s.rows[i]
	b := make([]byte, s.offsets[n+1]-s.offsets[n])
	if _, err := s.file.ReadAt(b, s.offsets[n]); err != nil {
		return sampler.Problem{}, fmt.Errorf("read row %d from the row store: %w", i, err)
	}
	var lens [4]uint64
	for j := range s.fields {
		v, n := binary.Uvarint(b)
		lens[j], b = v, b[n:]
	}
	text := string(b)
	next := func(j int) (field string) {
		field, text = text[:lens[j]], text[lens[j]:]
		return field
	}
	p := sampler.Problem{ID: next(0), Question: next(1), Answer: next(2), Choices: next(3)}
	if p.ID == "" {
		p.ID = strconv.FormatInt(i, 10)
	}
	return p, nil
}
