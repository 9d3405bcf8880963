package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/delta"
)

// slack is what a writer may put after the last value that counts: packed values come
// in groups of eight, and some writers fill up more of them.
const slack = 1024

// runs counts the values of a run-length encoding.
type runs struct {
	total  int // values
	equal  int // those in runs of the value that was asked for
	packed int // those that are packed bit by bit
}

// countRuns refuses more values than about twice the n that are needed: the library makes
// room for all that b claims to have, and two bytes can claim a billion.
func countRuns(b []byte, width, value, n int) (runs, error) {
	var r runs
	most := 2*n + slack
	for len(b) > 0 {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return r, errors.New("the page ends within the length of a run: fetch the file again")
		}
		b = b[k:]
		count, size := head>>1, (width+7)/8
		packed := head&1 == 1
		if packed && count <= uint64(len(b)) {
			size, count = int(count)*width, count*8
		}
		if count > uint64(most) || r.total+int(count) > most {
			return r, fmt.Errorf("runs of more than %d values where %d are needed: fetch the file again", most, n)
		}
		if size > len(b) {
			if packed && r.total+8*len(b)/width >= n { // some leave off the last bytes
				size = len(b)
			} else {
				return r, errors.New("the page ends within a run: fetch the file again")
			}
		}
		r.total += int(count)
		switch {
		case packed:
			r.packed += int(count)
		case value >= 0 && size == 1 && int(b[0]) == value:
			r.equal += int(count)
		}
		b = b[size:]
	}
	return r, nil
}

// plainBooleans is a page with the n truth values or fewer that begin at a byte of it
// unpacked: the library takes a run of trues for one true and many falses. They have been
// counted.
func plainBooleans(page []byte, at, n int) []byte {
	out := make([]byte, at+(n+7)/8)
	copy(out, page[:at])
	for b, i := page[at+4:], 0; len(b) > 0 && i < n; {
		head, k := binary.Uvarint(b)
		b = b[k:]
		count, packed := int(head>>1), head&1 == 1
		if packed {
			count *= 8
		}
		for j := range min(count, n-i) {
			bit := b[0] & 1
			if packed {
				bit = b[j/8] >> (j % 8) & 1
			}
			out[at+i/8] |= bit << (i % 8)
			i++
		}
		if size := (count + 7) / 8; packed {
			b = b[min(size, len(b)):]
		} else {
			b = b[1:]
		}
	}
	return out
}

// checkDelta is what follows after n integers or fewer in DELTA_BINARY_PACKED.
func checkDelta(b []byte, n int) ([]byte, error) {
	end := errors.New("the page ends within its integers: fetch the file again")
	var head [4]uint64 // values of a block, parts of a block, values, and the first of them
	for i := range head {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, end
		}
		head[i], b = v, b[k:]
	}
	block, parts, total := head[0], head[1], head[2]
	if total > uint64(n) {
		return nil, fmt.Errorf("integers for %d values where at most %d are: fetch the file again", total, n)
	}
	if block == 0 || block > 1<<16 || parts == 0 || parts > block || block%parts != 0 {
		return nil, fmt.Errorf("blocks of %d integers in %d parts: fetch the file again", block, parts)
	}
	for left := int(total) - 1; left > 0; {
		_, k := binary.Uvarint(b)
		if k <= 0 || len(b)-k < int(parts) {
			return nil, end
		}
		widths := b[k : k+int(parts)]
		b = b[k+int(parts):]
		for _, w := range widths {
			if left <= 0 {
				break
			}
			size := int(block/parts) * int(w) / 8
			if w > 64 || size > len(b) {
				return nil, end
			}
			b, left = b[size:], left-int(block/parts)
		}
	}
	return b, nil
}

// checkDeltaBytes adds up what the texts are that share their beginnings: a few bytes can
// repeat a long one without end.
func checkDeltaBytes(b []byte, n int) error {
	suffixes, err := checkDelta(b, n)
	if err != nil {
		return err
	}
	if _, err := checkDelta(suffixes, n); err != nil {
		return err
	}
	sum := 0
	for _, b := range [...][]byte{b, suffixes} {
		lengths, err := new(delta.BinaryPackedEncoding).DecodeInt32(nil, b)
		if err != nil {
			return fmt.Errorf("%w: fetch the file again", err)
		}
		for _, l := range lengths {
			if l < 0 {
				return fmt.Errorf("a text of %d bytes: fetch the file again", l)
			}
			if sum += int(l); sum > maxPage {
				return fmt.Errorf("a page of more than %d bytes: write the file with smaller pages", maxPage)
			}
		}
	}
	return nil
}
