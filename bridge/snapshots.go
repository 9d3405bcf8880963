package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
)

// weightsKey names Snapshot.SHA256 in a folder's marker.
const weightsKey = "weights_sha256"

// Exporter writes the trainer's current weights.
type Exporter interface {
	// Export writes a whole model folder in the Hugging Face layout into dir,
	// which exists and is empty. It need not sync what it writes.
	Export(ctx context.Context, dir string) error
}

// Snapshots is the folder that snapshots are published in, one subfolder a
// version. Not safe for concurrent use.
type Snapshots struct {
	// Root is on a path that the servers can read too. It is made if need be.
	Root      string
	Exporter  Exporter
	Inspector Inspector
	// Want lists the tensors of the model that the servers were started with.
	Want []Tensor
	// Keep is how many complete snapshots stay, the new one included; at least
	// 2, so that a server can go back to the one before. 0 keeps all.
	Keep int
}

// Publish exports the weights as a complete folder. They are written to a
// temporary sibling, and nothing is ever seen at the final path unless all of
// it is on disk and the tensors are those of Want. What killed processes left
// half-written, of whatever version, is removed first. Afterwards the oldest
// snapshots are removed; newer ones, of another run perhaps, are left alone. A
// version that is there already is an error that wraps fs.ErrExist.
func (s *Snapshots) Publish(ctx context.Context, version int64, step int) (Snapshot, error) {
	fail := func(err error) (Snapshot, error) {
		return Snapshot{}, fmt.Errorf("publish weights version %d: %w", version, err)
	}
	if s.Keep == 1 || s.Keep < 0 {
		return fail(fmt.Errorf("Snapshots.Keep is %d: want 0 (all) or at least 2", s.Keep))
	}
	root, err := filepath.Abs(s.Root)
	if err != nil {
		return fail(err)
	}
	if err := atomicdir.Sweep(root); err != nil { // versions never come again, and with them their leftovers' names
		return fail(err)
	}
	dir := filepath.Join(root, name(version))
	m := atomicdir.Marker{Version: version, Step: step, Extra: map[string]string{}}
	fill := func(tmp string) error {
		if err := s.Exporter.Export(ctx, tmp); err != nil {
			return err
		}
		have, err := s.Inspector.Tensors(tmp)
		if err != nil {
			return err
		}
		return CheckTensors(s.Want, have)
	}
	_, err = atomicdir.CreateBeside(dir, m, fill, func(tmp string) (err error) {
		m.Extra[weightsKey], err = s.Inspector.SHA256(tmp)
		return err
	})
	if err != nil {
		return fail(err)
	}
	if err := s.prune(root, version); err != nil {
		return fail(fmt.Errorf("remove old snapshots: %w", err))
	}
	return Open(dir)
}

// Open returns the complete snapshot at dir, as its marker describes it.
func Open(dir string) (Snapshot, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Snapshot{}, err
	}
	m, err := atomicdir.Read(dir)
	if err != nil {
		return Snapshot{}, err
	}
	if m.Extra[weightsKey] == "" {
		return Snapshot{}, fmt.Errorf("%s: its marker has no %s: not a snapshot", dir, weightsKey)
	}
	return Snapshot{Dir: dir, Version: m.Version, Step: m.Step, SHA256: m.Extra[weightsKey]}, nil
}

// prune removes all but the newest Keep complete snapshots up to newest, and
// what crashes have left of older versions.
func (s *Snapshots) prune(root string, newest int64) error {
	if s.Keep == 0 {
		return nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var versions []int64
	for _, e := range entries {
		if v, ok := version(e.Name()); ok && v <= newest && e.IsDir() {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b int64) int { return cmp.Compare(b, a) })
	complete := 0
	for _, v := range versions {
		dir := filepath.Join(root, name(v))
		if complete < s.Keep {
			_, err := atomicdir.Read(dir)
			if err == nil {
				complete++
			} else if !errors.Is(err, atomicdir.ErrIncomplete) {
				return err
			}
			continue // incomplete and newer than one that is kept: another process may be at it
		}
		if err := atomicdir.Remove(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func name(version int64) string { return fmt.Sprintf("version-%06d", version) }

// version is the inverse of name; other spellings of a number are not ours.
func version(folder string) (int64, bool) {
	v, err := strconv.ParseInt(strings.TrimPrefix(folder, "version-"), 10, 64)
	return v, err == nil && name(v) == folder
}
