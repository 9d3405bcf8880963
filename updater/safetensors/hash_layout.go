package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// SHA256 is the hash that [Set.SHA256] would give of the files that [Write]
// makes of l and data, without writing them. data is called once a tensor, in
// the order of the names; its bytes are done with when it is called again. Every tensor's
// size is checked.
func (l Layout) SHA256(data func(name string) ([]byte, error)) (string, error) {
	infos := map[string]Info{}
	for _, f := range l.Files {
		for _, t := range f.Tensors {
			infos[t.Name] = t
		}
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(infos)) {
		b, err := data(name)
		if err != nil {
			return "", fmt.Errorf("tensor %q: %w", name, err)
		}
		size, err := infos[name].Size()
		if err != nil {
			return "", err
		}
		if size != int64(len(b)) {
			return "", fmt.Errorf("tensor %q: %d bytes were given, %d are needed", name, len(b), size)
		}
		hashTensor(h, infos[name], b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
