package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"unicode/utf8"
)

// The names that a model folder gives its weights.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// maxIndex bounds the index file.
const maxIndex = 100_000_000

// index is a parsed model.safetensors.index.json.
type index struct {
	weightMap map[string]string          // tensor → base name of its file
	files     []string                   // in the order of their first mention
	metadata  map[string]json.RawMessage // as found; nil if absent
}

// parseIndex reads an index. Errors do not name the file.
func parseIndex(b []byte) (index, error) {
	if !utf8.Valid(b) {
		return index{}, errors.New("not valid UTF-8")
	}
	x := index{weightMap: map[string]string{}}
	found := false
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err := object(dec, func(key string) error {
		switch key {
		case "metadata":
			x.metadata = map[string]json.RawMessage{}
			return object(dec, func(key string) error {
				var raw json.RawMessage
				if err := dec.Decode(&raw); err != nil {
					return err
				}
				x.metadata[key] = raw
				return nil
			})
		case "weight_map":
			found = true
			return object(dec, func(name string) error {
				file, err := stringValue(dec)
				if err != nil {
					return fmt.Errorf("tensor %q: %w", name, err)
				}
				if !plainName(file) {
					return fmt.Errorf("tensor %q: %q is not a file name", name, file)
				}
				if !seen[file] {
					seen[file] = true
					x.files = append(x.files, file)
				}
				x.weightMap[name] = file
				return nil
			})
		}
		var ignored json.RawMessage
		return dec.Decode(&ignored)
	})
	switch {
	case err != nil:
		return index{}, err
	case len(bytes.TrimSpace(b[dec.InputOffset():])) > 0:
		return index{}, errors.New("something follows its JSON")
	case !found || len(x.files) == 0:
		return index{}, errors.New("it has no weight_map, or an empty one")
	}
	return x, nil
}

// plainName tells whether s names a file in the folder itself: an index must
// not reach outside it.
func plainName(s string) bool {
	return s != "" && s != "." && s != ".." && filepath.Base(s) == s && filepath.IsLocal(s)
}
