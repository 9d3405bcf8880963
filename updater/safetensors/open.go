package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Set is the tensors of one model, mapped into memory. Its methods are safe
// for concurrent use, but nothing may be in use when Close is called.
type Set struct {
	dir     string
	names   []string // sorted
	tensors map[string]tensor
	layout  Layout
	maps    [][]byte
	closed  bool
}

type tensor struct {
	info Info
	data []byte // part of a mapping
}

// Open opens the weights of a model folder: model.safetensors, or
// model.safetensors.index.json and its shards. The caller closes the Set.
func Open(dir string) (*Set, error) {
	single, idx := filepath.Join(dir, SingleName), filepath.Join(dir, IndexName)
	haveSingle, err := exists(single)
	if err != nil {
		return nil, err
	}
	haveIndex, err := exists(idx)
	if err != nil {
		return nil, err
	}
	switch {
	case haveSingle && haveIndex:
		// transformers would read the first, vLLM the second.
		return nil, fmt.Errorf("%s: both %s and %s are here, and programs differ in which they read; remove one", dir, SingleName, IndexName)
	case haveSingle:
		return OpenFile(single)
	case haveIndex:
		return openSharded(dir, idx)
	}
	return nil, missing(dir)
}

// OpenFile opens one safetensors file. The caller closes the Set.
func OpenFile(path string) (*Set, error) {
	s := &Set{dir: filepath.Dir(path), tensors: map[string]tensor{}}
	if err := s.add(path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.names = slices.Sorted(maps.Keys(s.tensors))
	return s, nil
}

func openSharded(dir, path string) (*Set, error) {
	b, err := readBounded(path, maxIndex)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var absent []string
	for _, file := range x.files {
		ok, err := exists(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		if !ok {
			absent = append(absent, file)
		}
	}
	if len(absent) > 0 {
		return nil, fmt.Errorf("%s: it names shards that are not in the folder: %s; copy or download them again", path, list(absent))
	}
	s := &Set{dir: dir, tensors: map[string]tensor{}}
	s.layout.Index, s.layout.IndexMetadata = true, x.metadata
	slices.Sort(x.files)
	for _, file := range x.files {
		if err := s.add(filepath.Join(dir, file)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := s.agree(x); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), s.Close())
	}
	s.names = slices.Sorted(maps.Keys(s.tensors))
	return s, nil
}

// add maps one file and takes its tensors in.
func (s *Set) add(path string) error {
	f, size, h, err := openHeader(path)
	if err != nil {
		return err
	}
	defer f.Close() // a mapping outlives its file descriptor
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("%s: map %d bytes: %w", path, size, err)
	}
	s.maps = append(s.maps, m)
	file := FileLayout{Name: filepath.Base(path), Metadata: h.metadata}
	for _, e := range h.entries {
		e.File = file.Name
		if other, dup := s.tensors[e.Name]; dup {
			return fmt.Errorf("%s: tensor %q is in %s too", path, e.Name, other.info.File)
		}
		s.tensors[e.Name] = tensor{e.Info, m[h.data+e.begin : h.data+e.end : h.data+e.end]}
		file.Tensors = append(file.Tensors, e.Info)
	}
	s.layout.Files = append(s.layout.Files, file)
	return nil
}

// agree checks that the index and the shards name the same tensors in the same files.
func (s *Set) agree(x index) error {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(x.weightMap)) {
		if t, ok := s.tensors[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s is not in %s", name, x.weightMap[name]))
		} else if t.info.File != x.weightMap[name] {
			faults = append(faults, fmt.Sprintf("%s is in %s, not in %s", name, t.info.File, x.weightMap[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.tensors)) {
		if _, ok := x.weightMap[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s of %s is not in the index", name, s.tensors[name].info.File))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("index and shards disagree: %s; copy the whole folder again", list(faults))
	}
	return nil
}

// Names returns the names of all tensors, sorted.
func (s *Set) Names() []string { return slices.Clone(s.names) }

// Info describes one tensor; false if there is none of that name.
func (s *Set) Info(name string) (Info, bool) {
	t, ok := s.tensors[name]
	t.info.Shape = slices.Clone(t.info.Shape)
	return t.info, ok
}

// Bytes returns a tensor's bytes, little endian and row-major: a read-only
// view of the mapping, which a write to would fault. It is valid until Close
// and need not be aligned to the size of an element.
func (s *Set) Bytes(name string) ([]byte, error) {
	if s.closed {
		return nil, fmt.Errorf("%s: read of %q after Close", s.dir, name)
	}
	t, ok := s.tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", s.dir, name)
	}
	return t.data, nil
}

// Close unmaps everything; slices that Bytes returned must not be touched any
// more. A second Close does nothing.
func (s *Set) Close() error {
	var errs []error
	for _, m := range s.maps {
		errs = append(errs, unix.Munmap(m))
	}
	s.maps, s.closed = nil, true
	return errors.Join(errs...)
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// missing says what is wrong with a folder that has no weights.
func missing(dir string) error {
	if st, err := os.Stat(dir); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s: not a folder; give the model's folder", dir)
	}
	hint := "is it a model folder?"
	if old, _ := filepath.Glob(filepath.Join(dir, "pytorch_model*.bin")); len(old) > 0 {
		hint = "its pickled weights (" + filepath.Base(old[0]) + ") must be converted to safetensors first"
	}
	return fmt.Errorf("%s: no %s and no %s; %s: %w", dir, SingleName, IndexName, hint, fs.ErrNotExist)
}

func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, fmt.Errorf("%s: not a file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// list joins faults for one line, the first few in full.
func list(s []string) string {
	const most = 5
	if len(s) > most {
		return strings.Join(s[:most], ", ") + fmt.Sprintf(" and %d more", len(s)-most)
	}
	return strings.Join(s, ", ")
}
