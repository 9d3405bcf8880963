package atomicdir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// seal syncs every file under root and hashes those that are not known, and
// syncs every folder.
func seal(root string, known map[string]string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return syncDir(path)
		case !e.Type().IsRegular():
			return fmt.Errorf("%s: only regular files can be published, not links or devices", path)
		case name == MarkerName || name == pendingName:
			return fmt.Errorf("%s: that name is the marker's", path)
		}
		name = filepath.ToSlash(name)
		if sum, ok := known[name]; ok {
			sums[name] = sum
			return syncFile(path)
		}
		sums[name], err = hashFile(path, true)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if raw, err := hex.DecodeString(known[name]); err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("%s: %q is no SHA-256 of %s", root, known[name], name)
		}
		if sums[name] == "" {
			return nil, fmt.Errorf("%s: %s was hashed and is not there", root, name)
		}
	}
	return sums, nil
}

// hashFile returns the SHA-256 of a file in hex, and flushes it to the disk if
// sync: at the same time, as one waits while the other computes.
func hashFile(path string, sync bool) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var g errgroup.Group
	if sync {
		g.Go(f.Sync)
	}
	h := sha256.New()
	// A MB at a time, not the 32 kB of a File's own WriteTo.
	_, err = io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err = errors.Join(err, g.Wait()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Verify reads every file that the marker of dir lists and compares its hash.
// The error names all that are missing or changed. Files that the marker does
// not list are not looked at.
func Verify(dir string) error {
	m, err := Read(dir)
	if err != nil {
		return err
	}
	var missing, changed []string
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		sum, err := hashFile(filepath.Join(dir, filepath.FromSlash(name)), false)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		case err != nil:
			return err
		case !strings.EqualFold(sum, m.Files[name]):
			changed = append(changed, name)
		}
	}
	var faults []string
	if len(missing) > 0 {
		faults = append(faults, "missing: "+strings.Join(missing, ", "))
	}
	if len(changed) > 0 {
		faults = append(faults, "changed since it was published: "+strings.Join(changed, ", "))
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: %s", dir, strings.Join(faults, "; "))
	}
	return nil
}
