package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
)

// Write writes the files of l into the folder dir, which must exist, and the
// index if l asks for one. data is called once a tensor, in the order of l,
// and returns its bytes (little endian, row-major), which are done with when
// it is called again; so one tensor at a time is in memory.
//
// Every file is written under a temporary name and synced; only when all are
// complete are they renamed, the index last. On an error dir is as it was
// before, except when a rename itself fails. A reader that must never see
// some new shards beside some old ones needs a folder of its own
// (internal/atomicdir).
func Write(dir string, l Layout, data func(name string) ([]byte, error)) error {
	if _, err := write(dir, l, synced, data); err != nil {
		return err
	}
	return syncDir(dir)
}

// WriteUnsynced is [Write] for a folder that the caller syncs before anybody
// trusts it, as internal/atomicdir does: a crash may leave files under their
// names that are not on the disk. They are on their way there.
func WriteUnsynced(dir string, l Layout, data func(name string) ([]byte, error)) error {
	_, err := write(dir, l, unsynced, data)
	return err
}

// WriteHashed is [WriteUnsynced] that hashes the bytes as they are handed to
// the kernel, from memory. The goroutines that share the work have ended when
// it returns; data is only called on the caller's.
func WriteHashed(dir string, l Layout, data func(name string) ([]byte, error)) (Sums, error) {
	return write(dir, l, hashed, data)
}

// care is what is done with a file beyond writing it.
type care int

const (
	unsynced care = iota
	synced
	hashed
)

// write writes the files of l. There are Sums if they are hashed.
func write(dir string, l Layout, with care, data func(name string) ([]byte, error)) (Sums, error) {
	if err := l.check(); err != nil {
		return Sums{}, fmt.Errorf("%s: %w", dir, err)
	}
	var h *hashing
	if with == hashed {
		h = newHashing(l)
	}
	var done []*pending
	defer func() {
		for _, p := range done {
			p.discard()
		}
	}()
	defer h.stop() // before the files that it reads are closed
	for _, f := range l.Files {
		p, err := stage(filepath.Join(dir, f.Name), with, h, func(s *sink) error { return writeTensors(s, f, data) })
		if err != nil {
			return Sums{}, err
		}
		done = append(done, p)
	}
	if l.Index {
		p, err := stage(filepath.Join(dir, IndexName), with, h, func(s *sink) error { return writeIndex(s, l) })
		if err != nil {
			return Sums{}, err
		}
		done = append(done, p)
	}
	sums, err := h.finish()
	if err != nil {
		return Sums{}, fmt.Errorf("%s: hash the weights: %w", dir, err)
	}
	for _, p := range done {
		if err := p.close(); err != nil {
			return Sums{}, err
		}
	}
	for _, p := range done {
		if err := p.commit(); err != nil {
			return Sums{}, err
		}
	}
	return sums, nil
}

// WriteFile writes one safetensors file, as [Write] does: after an error
// there is no file at path, or the one that was there before.
func WriteFile(path string, tensors []Info, metadata map[string]string, data func(name string) ([]byte, error)) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	return Write(dir, Layout{Files: []FileLayout{{Name: name, Tensors: tensors, Metadata: metadata}}}, data)
}

// check refuses a layout that Open would refuse.
func (l Layout) check() error {
	if len(l.Files) == 0 {
		return errors.New("layout without files")
	}
	if len(l.Files) > 1 && !l.Index {
		return errors.New("layout of several files without an index")
	}
	in, files := map[string]string{}, map[string]bool{}
	for _, f := range l.Files {
		if !plainName(f.Name) || f.Name == IndexName || files[f.Name] {
			return fmt.Errorf("layout: %q is not a usable file name", f.Name)
		}
		files[f.Name] = true
		for _, t := range f.Tensors {
			if other, dup := in[t.Name]; dup {
				return fmt.Errorf("layout: tensor %q is in %s and in %s", t.Name, other, f.Name)
			}
			in[t.Name] = f.Name
			if t.Name == metadataKey {
				return fmt.Errorf("layout: %q cannot be a tensor's name", t.Name)
			}
			if _, err := t.Size(); err != nil {
				return fmt.Errorf("layout: %w", err)
			}
		}
	}
	return nil
}

func writeTensors(s *sink, f FileLayout, data func(name string) ([]byte, error)) error {
	head, err := encodeHeader(f)
	if err != nil {
		return err
	}
	if _, err := s.Write(head); err != nil {
		return err
	}
	for _, t := range f.Tensors {
		size, err := t.Size()
		if err != nil {
			return err
		}
		b, err := data(t.Name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if int64(len(b)) != size {
			return fmt.Errorf("tensor %q: %s %v needs %d bytes, %d were given", t.Name, t.DType, t.Shape, size, len(b))
		}
		if err := s.tensor(t, b); err != nil {
			return err
		}
	}
	return nil
}

// encodeHeader writes the length and the JSON as the reference implementation
// spells it (compact, padded with spaces to a multiple of 8), so that a file
// written again from its own layout comes out byte for byte.
func encodeHeader(f FileLayout) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8))
	sep := byte('{')
	key := func(k string) error {
		b.WriteByte(sep)
		sep = ','
		err := compact(b, k)
		b.WriteByte(':')
		return err
	}
	if f.Metadata != nil {
		if err := errors.Join(key(metadataKey), compact(b, f.Metadata)); err != nil {
			return nil, err
		}
	}
	at := int64(0)
	for _, t := range f.Tensors {
		size, err := t.Size()
		if err != nil {
			return nil, err
		}
		if at > at+size {
			return nil, fmt.Errorf("tensor %q: the file would be too large", t.Name)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int64{}
		}
		e := struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{at, at + size}}
		if err := errors.Join(key(t.Name), compact(b, e)); err != nil {
			return nil, err
		}
		at += size
	}
	if sep == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes; at most %d can be read back", b.Len()-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// compact appends v as JSON without a line break and without HTML escapes.
func compact(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}

func writeIndex(w io.Writer, l Layout) error {
	meta := maps.Clone(l.IndexMetadata)
	if meta == nil {
		meta = map[string]json.RawMessage{}
	}
	total, weights := int64(0), map[string]string{}
	for _, f := range l.Files {
		for _, t := range f.Tensors {
			size, err := t.Size()
			if err != nil {
				return err
			}
			total += size
			weights[t.Name] = f.Name
		}
	}
	meta["total_size"] = fmt.Appendf(nil, "%d", total)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Metadata  map[string]json.RawMessage `json:"metadata"`
		WeightMap map[string]string          `json:"weight_map"`
	}{meta, weights})
}
