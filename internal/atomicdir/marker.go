package atomicdir

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Marker is the content of COMPLETE, in JSON.
type Marker struct {
	// Version is the weights version of a snapshot; never reused within a run.
	Version int64 `json:"version"`
	// Step is the training step that the folder belongs to.
	Step int `json:"step"`
	// Files maps every file's path, relative to the folder and with slashes,
	// to its SHA-256 in hex. Create fills it in, or holds the files to it.
	Files map[string]string `json:"files"`
	// Extra is the caller's.
	Extra map[string]string `json:"extra,omitempty"`
}

// maxMarker bounds the marker's size.
const maxMarker = 64 << 20

// Read returns the marker of a complete folder. Without one the error is
// [ErrIncomplete]. It does not look at the files: see [Verify].
func Read(dir string) (Marker, error) {
	path := filepath.Join(dir, MarkerName)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Marker{}, fmt.Errorf("%s: %w", dir, ErrIncomplete)
	}
	if err != nil {
		return Marker{}, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxMarker {
		return Marker{}, fmt.Errorf("%s: not a marker", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Marker{}, err
	}
	m, err := parseMarker(b)
	if err != nil {
		return Marker{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMarker(b []byte) (Marker, error) {
	var m Marker
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Marker{}, fmt.Errorf("damaged marker: %w", err)
	}
	if rest := bytes.TrimSpace(b[dec.InputOffset():]); len(rest) > 0 {
		return Marker{}, errors.New("damaged marker: something follows its JSON")
	}
	for name, sum := range m.Files {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
			return Marker{}, fmt.Errorf("damaged marker: file %q has no SHA-256", name)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return Marker{}, fmt.Errorf("damaged marker: %q is not inside the folder", name)
		}
	}
	return m, nil
}

func (m Marker) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}
