package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxHeader bounds the header, as the reference implementation does: a wrong
// length must not become an allocation.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// entry is one tensor of a header; begin and end count from the start of the data.
type entry struct {
	Info
	begin, end int64
}

// header is a validated header: entries in the order of their offsets, which
// cover the data exactly.
type header struct {
	entries  []entry
	metadata map[string]string // nil if the header has none
	data     int64             // offset of the data in the file
}

// readHeader reads and validates the header of f, which is size bytes long.
// Errors do not name the file.
func readHeader(f io.ReaderAt, size int64) (header, error) {
	if size < 8 {
		return header{}, fmt.Errorf("truncated: %d bytes are not even a header length; copy it again", size)
	}
	var prefix [8]byte
	if _, err := f.ReadAt(prefix[:], 0); err != nil {
		return header{}, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n < 2 || n > maxHeader {
		return header{}, fmt.Errorf("not a safetensors file: it begins with a header length of %d, outside 2 … %d", n, maxHeader)
	}
	if int64(n) > size-8 {
		return header{}, fmt.Errorf("truncated: its header alone needs %d bytes, the file has %d; copy it again", n+8, size)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 8); err != nil {
		return header{}, fmt.Errorf("read header: %w", err)
	}
	h, err := parseHeader(b)
	if err != nil {
		return header{}, err
	}
	h.data = 8 + int64(n)
	end := int64(0)
	if k := len(h.entries); k > 0 {
		end = h.entries[k-1].end
	}
	switch want := h.data + end; {
	case size < want:
		return header{}, fmt.Errorf("truncated: header says %d bytes, the file has %d; copy it again", want, size)
	case size > want:
		return header{}, fmt.Errorf("damaged: header says %d bytes, the file has %d; copy it again", want, size)
	}
	return h, nil
}

// parseHeader reads the JSON of a header and checks everything that can be
// checked without the file's size.
func parseHeader(b []byte) (header, error) {
	if b[0] != '{' {
		return header{}, errors.New("not a safetensors file: the header does not begin with {")
	}
	if !utf8.Valid(b) {
		return header{}, errors.New("header is not valid UTF-8")
	}
	var h header
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err := object(dec, func(name string) error {
		if name == metadataKey {
			h.metadata = map[string]string{}
			return object(dec, func(key string) error {
				s, err := stringValue(dec)
				h.metadata[key] = s
				return err
			})
		}
		e, err := parseEntry(dec, name)
		h.entries = append(h.entries, e)
		return err
	})
	if err != nil {
		return header{}, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimLeft(b[dec.InputOffset():], " "); len(rest) > 0 {
		return header{}, errors.New("header: something other than padding follows its JSON")
	}
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at := int64(0)
	for _, e := range h.entries {
		switch {
		case e.begin < at:
			return header{}, fmt.Errorf("header: tensor %q overlaps the one before it (begins at %d, %d is free)", e.Name, e.begin, at)
		case e.begin > at:
			return header{}, fmt.Errorf("header: %d bytes before tensor %q belong to no tensor", e.begin-at, e.Name)
		}
		at = e.end
	}
	return h, nil
}

// parseEntry reads one tensor's description.
func parseEntry(dec *json.Decoder, name string) (entry, error) {
	e := entry{Info: Info{Name: name}}
	var offsets []int64
	var have struct{ dtype, shape, offsets bool }
	err := object(dec, func(key string) (err error) {
		switch key {
		case "dtype":
			have.dtype = true
			e.DType, err = stringValue(dec)
		case "shape":
			have.shape = true
			e.Shape, err = intsValue(dec)
		case "data_offsets":
			have.offsets = true
			offsets, err = intsValue(dec)
		default:
			return fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	switch {
	case err != nil:
		return e, fmt.Errorf("tensor %q: %w", name, err)
	case !have.dtype || !have.shape || !have.offsets:
		return e, fmt.Errorf("tensor %q: dtype, shape or data_offsets is missing", name)
	case len(offsets) != 2 || offsets[0] < 0 || offsets[1] < offsets[0]:
		return e, fmt.Errorf("tensor %q: data_offsets %v are not [begin, end]", name, offsets)
	}
	e.begin, e.end = offsets[0], offsets[1]
	size, err := e.Size()
	if err != nil {
		return e, err
	}
	if e.end-e.begin != size {
		return e, fmt.Errorf("tensor %q: %s %v needs %d bytes, data_offsets %v hold %d", name, e.DType, e.Shape, size, offsets, e.end-e.begin)
	}
	return e, nil
}

// object walks one JSON object, refusing a key that occurs twice; value must
// consume the key's value from dec.
func object(dec *json.Decoder, value func(key string) error) error {
	if err := delim(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := stringValue(dec)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	return delim(dec, '}')
}

func delim(dec *json.Decoder, want json.Delim) error {
	t, err := token(dec)
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%v where %v was expected", t, want)
	}
	return nil
}

func stringValue(dec *json.Decoder) (string, error) {
	t, err := token(dec)
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%v where a string was expected", t)
	}
	return s, nil
}

func intsValue(dec *json.Decoder) ([]int64, error) {
	if err := delim(dec, '['); err != nil {
		return nil, err
	}
	v := []int64{}
	for dec.More() {
		t, err := token(dec)
		if err != nil {
			return nil, err
		}
		n, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v where an integer was expected", t)
		}
		i, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%v where an integer was expected", n)
		}
		v = append(v, i)
	}
	return v, delim(dec, ']')
}

func token(dec *json.Decoder) (json.Token, error) {
	t, err := dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

// openHeader opens path and reads its header; the caller closes the file.
func openHeader(path string) (*os.File, int64, header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, header{}, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var h header
	if err == nil {
		h, err = readHeader(f, st.Size())
	}
	if err != nil {
		return nil, 0, header{}, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, st.Size(), h, nil
}
