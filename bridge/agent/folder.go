package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/atomicdir"
)

// The names in an agent's folder.
const (
	lockName     = "lock"
	pullName     = "pull"
	pullManifest = "pull/manifest.json"
	pullFiles    = "pull/files"
)

var (
	runFolder     = regexp.MustCompile(`^run-([A-Za-z0-9][A-Za-z0-9_-]{0,63})$`)
	versionFolder = regexp.MustCompile(`^version-[0-9]{6,19}$`)
)

// folder is where an agent keeps snapshots. One agent at a time: it is locked.
type folder struct {
	dir  string // absolute
	root *os.Root
	lock *os.File
}

func openFolder(dir string) (_ *folder, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, root: root}
	if f.lock, err = root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if err := unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: another agent uses it; give each its own folder", dir)
		}
		return nil, errors.Join(err, f.close())
	}
	if err := f.sweep(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) close() error {
	var locked error
	if f.lock != nil {
		locked = f.lock.Close()
	}
	return errors.Join(locked, f.root.Close())
}

// sweep removes what killed agents have left half-published.
func (f *folder) sweep() error {
	runs, err := f.runs()
	for _, run := range runs {
		err = errors.Join(err, atomicdir.Sweep(filepath.Join(f.dir, run)))
	}
	return err
}

func (f *folder) runs() (names []string, err error) { return f.folders(".", runFolder) }

// folders are the real folders in one of ours that are named as ours are.
func (f *folder) folders(in string, ours *regexp.Regexp) (names []string, err error) {
	entries, err := fs.ReadDir(f.root.FS(), in)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && ours.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// place is where a version of a run goes, relative to the folder.
func place(run string, version int64) string {
	return filepath.Join("run-"+run, fmt.Sprintf("version-%06d", version))
}

// manifestOf is where a snapshot's manifest is kept.
func manifestOf(place string) string { return place + ".json" }

// prepare makes the folder of a run, and refuses what is no folder there or in
// the version's place: through a link a snapshot would come from elsewhere.
func (f *folder) prepare(run string, version int64) error {
	p := place(run, version)
	if err := f.root.Mkdir(filepath.Dir(p), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{filepath.Dir(p), p} {
		st, err := f.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !st.IsDir() {
			err = fmt.Errorf("%s: not a folder, and nothing is loaded through it: remove it", filepath.Join(f.dir, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// complete lists the complete snapshots of all runs, the newest first.
func (f *folder) complete() (places []string, err error) {
	runs, err := f.runs()
	if err != nil {
		return nil, err
	}
	when := map[string]int64{}
	for _, run := range runs {
		versions, err := f.folders(run, versionFolder)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			p := filepath.Join(run, v)
			st, err := f.root.Lstat(filepath.Join(p, atomicdir.MarkerName))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			places, when[p] = append(places, p), st.ModTime().UnixNano()
		}
	}
	slices.SortFunc(places, func(a, b string) int {
		return cmp.Or(cmp.Compare(when[b], when[a]), strings.Compare(b, a))
	})
	return places, nil
}

// prune leaves most complete snapshots, those of spared among them, and removes
// the oldest of the others.
func (f *folder) prune(most int, spared ...string) error {
	places, err := f.complete()
	if err != nil {
		return err
	}
	left := len(places)
	for _, p := range slices.Backward(places) {
		if left <= most {
			break
		}
		if slices.Contains(spared, p) {
			continue
		}
		if err := f.remove(p); err != nil {
			return err
		}
		left--
	}
	return nil
}

func (f *folder) remove(p string) error {
	if err := f.root.Remove(manifestOf(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicdir.Remove(filepath.Join(f.dir, p)); err != nil {
		return err
	}
	err := f.root.Remove(filepath.Dir(p)) // a run's folder, if that was its last
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// room makes sure that so many bytes fit, before any is written.
func (f *folder) room(need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(f.dir, &st); err != nil {
		return fmt.Errorf("%s: %w", f.dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); need > free {
		return fmt.Errorf("%s has %d MiB free, the snapshot needs %d MiB more: free some space, or lower --keep: %w", f.dir, free>>20, need>>20+1, unix.ENOSPC)
	}
	return nil
}

// openPart opens a file of the pull under way. A link in its place, or anything
// else that is no plain file, is refused.
func (f *folder) openPart(name string, size int64) (_ *os.File, err error) {
	path := filepath.Join(pullFiles, filepath.FromSlash(name))
	if err := f.root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	st, err := f.root.Lstat(path)
	if err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file: remove it", filepath.Join(f.dir, path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	part, err := f.root.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if err := part.Truncate(size); err != nil {
		return nil, errors.Join(err, part.Close())
	}
	return part, nil
}

// begin prepares the pull of a snapshot; resumed says that an earlier one of the
// same manifest has left something.
func (f *folder) begin(manifest []byte) (resumed bool, err error) {
	st, err := f.root.Lstat(pullName)
	if err == nil && st.IsDir() {
		if before, err := f.root.ReadFile(pullManifest); err == nil && string(before) == string(manifest) {
			return true, nil
		}
	}
	if err := f.dropPull(); err != nil {
		return false, err
	}
	if err := f.root.MkdirAll(pullFiles, 0o755); err != nil {
		return false, err
	}
	return false, f.root.WriteFile(pullManifest, manifest, 0o644)
}

func (f *folder) dropPull() error { return f.root.RemoveAll(pullName) }

// publish makes a complete snapshot of what was pulled: the files are hashed
// once more as they are on the disk, and held to the manifest.
func (f *folder) publish(m *share.Manifest, manifest []byte) (dir string, err error) {
	p := place(m.Run, m.Version)
	dir = filepath.Join(f.dir, p)
	want := map[string]string{}
	for _, file := range m.Files {
		want[file.Name] = file.SHA256.String()
	}
	_, err = atomicdir.Create(dir, atomicdir.Marker{Version: m.Version, Step: m.Step, Extra: m.Extra, Files: want}, func(tmp string) error {
		to, err := filepath.Rel(f.dir, tmp)
		if err != nil {
			return err
		}
		for _, file := range m.Files {
			name := filepath.FromSlash(file.Name)
			if err := f.root.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755); err != nil {
				return err
			}
			if err := f.root.Rename(filepath.Join(pullFiles, name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := f.root.WriteFile(manifestOf(p), manifest, 0o644); err != nil {
		return "", err
	}
	return dir, f.dropPull()
}
