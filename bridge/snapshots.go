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

// A HashingExporter hashes what it writes while it writes it, which saves
// reading it all again, twice.
type HashingExporter interface {
	Exporter
	// ExportHashed is Export, and returns the SHA-256 in hex of the files that it
	// has hashed, by their paths relative to dir with slashes; others may be
	// left out. weights is [Snapshot.SHA256].
	ExportHashed(ctx context.Context, dir string) (files map[string]string, weights string, err error)
}

// Snapshots is the folder that snapshots are published in, one subfolder a
// version. Not safe for concurrent use.
type Snapshots struct {
	// Root is on a path that the servers can read too. It is made if need be.
	Root string
	// Exporter is better a [HashingExporter].
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
		return Snapshot{}, fmt.Errorf("publish weights version %d: %w", version, atomicdir.FullDisk(err))
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
	_, err = atomicdir.CreateHashed(dir, m, func(tmp string) (files map[string]string, err error) {
		files, m.Extra[weightsKey], err = s.export(ctx, tmp)
		return files, err
	})
	if err != nil {
		return fail(err)
	}
	if err := s.prune(root, version); err != nil {
		return fail(fmt.Errorf("remove old snapshots: %w", err))
	}
	return Open(dir)
}

// export writes the weights to dir and holds their tensors to Want. Of the
// files' hashes it returns those that the exporter knows.
func (s *Snapshots) export(ctx context.Context, dir string) (files map[string]string, weights string, err error) {
	h, hashes := s.Exporter.(HashingExporter)
	if hashes {
		files, weights, err = h.ExportHashed(ctx, dir)
	} else {
		err = s.Exporter.Export(ctx, dir)
	}
	if err != nil {
		return nil, "", err
	}
	have, err := s.Inspector.Tensors(dir)
	if err != nil {
		return nil, "", err
	}
	if err := CheckTensors(s.Want, have); err != nil {
		return nil, "", err
	}
	if !hashes {
		weights, err = s.Inspector.SHA256(dir)
	}
	if err == nil && weights == "" {
		err = errors.New("the exporter gave no hash of the weights")
	}
	return files, weights, err
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
