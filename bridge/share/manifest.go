package share

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
)

// Sum is a SHA-256; in JSON it is hex.
type Sum [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(b []byte) error {
	if len(b) != 2*len(s) {
		return fmt.Errorf("a SHA-256 has %d hexadecimal digits, not %d", 2*len(s), len(b))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// Manifest is what a snapshot consists of.
type Manifest struct {
	Run     string            `json:"run"` // the training run's id
	Version int64             `json:"version"`
	Step    int               `json:"step"`
	Extra   map[string]string `json:"extra,omitempty"` // the marker's
	// ChunkSize is the bytes of every chunk but a file's last.
	ChunkSize int64  `json:"chunk_size"`
	Files     []File `json:"files"` // in the order of their names
}

// File is one file of a snapshot.
type File struct {
	Name   string `json:"name"` // with slashes, relative to the snapshot
	Size   int64  `json:"size"` // bytes
	SHA256 Sum    `json:"sha256"`
	Chunks []Sum  `json:"chunks,omitempty"`
}

// Bounds on a manifest that somebody else wrote.
const (
	MaxManifest = 64 << 20 // bytes of its JSON
	minChunk    = 4 << 10
	maxChunk    = 64 << 20
	maxFiles    = 10_000
	maxSize     = 1 << 46 // bytes of all files
)

// Chunk is where chunk i of a file lies.
func (m *Manifest) Chunk(f *File, i int) (offset, size int64) {
	offset = int64(i) * m.ChunkSize
	return offset, min(m.ChunkSize, f.Size-offset)
}

// Size is the bytes of all files.
func (m *Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// ParseManifest reads a manifest and makes sure that it can be acted upon: its
// names are relative, plain and none below another, the chunks of every file
// are as many as its size asks for, and all sizes are within bounds.
func ParseManifest(b []byte) (*Manifest, error) {
	m := &Manifest{}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("not a manifest: %w", err)
	}
	if rest := bytes.TrimSpace(b[dec.InputOffset():]); len(rest) > 0 {
		return nil, errors.New("not a manifest: something follows its JSON")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("not a manifest that can be used: %w", err)
	}
	return m, nil
}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ValidRun tells whether an id can be a run's: letters, digits, _ and -, so that
// it can name a folder.
func ValidRun(id string) bool { return runID.MatchString(id) }

func (m *Manifest) check() error {
	switch {
	case !ValidRun(m.Run):
		return fmt.Errorf("run %.80q is not an id", m.Run)
	case m.Version < 0 || m.Step < -1: // -1 is before the first step
		return fmt.Errorf("version %d, step %d", m.Version, m.Step)
	case m.ChunkSize < minChunk || m.ChunkSize > maxChunk:
		return fmt.Errorf("chunks of %d bytes, must be from %d to %d", m.ChunkSize, minChunk, maxChunk)
	case len(m.Files) == 0 || len(m.Files) > maxFiles:
		return fmt.Errorf("%d files, must be from 1 to %d", len(m.Files), maxFiles)
	}
	seen := make(map[string]bool, len(m.Files))
	var total int64
	for i := range m.Files {
		f := &m.Files[i]
		if err := checkName(f.Name); err != nil {
			return err
		}
		// Disks that fold case would make one file of two.
		if folded := strings.ToLower(f.Name); seen[folded] {
			return fmt.Errorf("%q is there twice", f.Name)
		} else {
			seen[folded] = true
		}
		if f.Size < 0 || f.Size > maxSize-total {
			return fmt.Errorf("%q has %d bytes: too many", f.Name, f.Size)
		}
		total += f.Size
		if want := (f.Size + m.ChunkSize - 1) / m.ChunkSize; int64(len(f.Chunks)) != want {
			return fmt.Errorf("%q of %d bytes has %d chunks, must have %d", f.Name, f.Size, len(f.Chunks), want)
		}
	}
	for name := range seen {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if seen[dir] {
				return fmt.Errorf("%q is a file and a folder", dir)
			}
		}
	}
	return nil
}

// checkName allows names that mean the same everywhere and stay where they are put.
func checkName(name string) error {
	bad := func(why string) error { return fmt.Errorf("the name %.120q %s", name, why) }
	switch {
	case !fs.ValidPath(name) || name == ".":
		return bad("is not that of a file inside the snapshot")
	case len(name) > 1024:
		return bad("is too long")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == ':' }):
		return bad("has signs that file names cannot have everywhere")
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 {
			return bad("is too long")
		}
		if strings.HasPrefix(strings.ToUpper(part), atomicdir.MarkerName) {
			return bad("is kept for the marker")
		}
	}
	return nil
}
