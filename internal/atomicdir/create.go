package atomicdir

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

// Create publishes a folder at dir. fill gets the path of a new empty folder
// beside it and writes everything there, regular files and folders only; it
// must not keep files open. The marker that was written is returned: m with
// Files filled in; where the caller has filled it in, the files must be those.
//
// dir must not exist, be an empty folder, or be what a crash of an earlier
// Create left there. A complete folder is an error that wraps [fs.ErrExist],
// and so is one that is not this package's. On any error, fill's and a full
// disk included, the temporary folder is removed and nothing is at dir that
// was not there before; fill's own error keeps its text. The parent
// folder is made if need be.
//
// Two Creates of the same dir may run at once, in one process or in several:
// one succeeds.
func Create(dir string, m Marker, fill func(tmp string) error) (Marker, error) {
	return CreateHashed(dir, m, func(tmp string) (map[string]string, error) { return nil, fill(tmp) })
}

// CreateHashed is [Create] for a fill that has hashed what it wrote: it returns
// the SHA-256 in hex of such files, under the names that [Marker].Files has for
// them, and they are synced but not read again. The others are hashed as they
// are by Create. fill may also add to the map m.Extra. A sum of a file that is
// not there is an error.
func CreateHashed(dir string, m Marker, fill func(tmp string) (sums map[string]string, err error)) (_ Marker, err error) {
	dir = filepath.Clean(dir)
	if err := replaceable(dir); err != nil {
		return Marker{}, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return Marker{}, err
	}
	if err := sweep(dir); err != nil {
		return Marker{}, err
	}
	tmp, unlock, err := newTemporary(dir, 0o777)
	if err != nil {
		return Marker{}, explain(dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
		err = errors.Join(err, unlock())
	}()
	known, err := fill(tmp)
	if err != nil {
		return Marker{}, err
	}
	sums, err := seal(tmp, known)
	if err != nil {
		return Marker{}, explain(dir, err)
	}
	if err := sameFiles(dir, m.Files, sums); err != nil {
		return Marker{}, err
	}
	m.Files = sums
	if err := writeMarker(tmp, m); err != nil {
		return Marker{}, explain(dir, err)
	}
	if err := place(tmp, dir); err != nil {
		return Marker{}, explain(dir, err)
	}
	return m, nil
}

// sameFiles holds what fill has written to what the caller wants, if it says.
func sameFiles(dir string, want, have map[string]string) error {
	if want == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		sum, there := have[name]
		switch {
		case !there:
			return fmt.Errorf("%s: %s is missing", dir, name)
		case !strings.EqualFold(sum, want[name]):
			return fmt.Errorf("%s: %s has the SHA-256 %s, should have %s", dir, name, sum, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, wanted := want[name]; !wanted {
			return fmt.Errorf("%s: %s is no file of it", dir, name)
		}
	}
	return nil
}

// Remove takes a folder of this package away, complete or not: first its
// marker, so that a crash half-way leaves nothing that looks complete. A
// folder that is not there is no error.
func Remove(dir string) error {
	dir = filepath.Clean(dir)
	err := os.Rename(filepath.Join(dir, MarkerName), filepath.Join(dir, pendingName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return removeLeftover(dir)
}

// removeLeftover removes what replaceable allows to, unless another process
// is publishing it this moment (it has the folder locked until it is complete).
func removeLeftover(dir string) error {
	if err := replaceable(dir); err != nil {
		return err
	}
	unlock, err := lock(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: another process is publishing it: %w", dir, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err = replaceable(dir); err == nil { // it may have become complete before the lock was free
		err = os.RemoveAll(dir)
	}
	return errors.Join(err, unlock())
}

// replaceable returns nil if nothing of worth is at dir.
func replaceable(dir string) error {
	st, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s: a file or link of that name is in the way; remove it: %w", dir, fs.ErrExist)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
	}
	switch {
	case has(MarkerName):
		return fmt.Errorf("%s: it is there and complete; choose another folder or remove it: %w", dir, fs.ErrExist)
	case len(entries) > 0 && !has(pendingName):
		return fmt.Errorf("%s: a folder with other files is in the way; choose another or remove it: %w", dir, fs.ErrExist)
	}
	return nil
}

// place moves the finished folder to dir, over a leftover if there is one.
func place(tmp, dir string) error {
	if err := removeLeftover(dir); err != nil { // anything may have come there during fill
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.Rename(filepath.Join(dir, pendingName), filepath.Join(dir, MarkerName)); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return syncDir(dir)
}

func writeMarker(tmp string, m Marker) (err error) {
	b, err := m.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(tmp, pendingName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(tmp))
}

func syncDir(dir string) error { return syncFile(dir) }

// syncFile flushes a file or a folder to the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// explain names the folder where a full disk is the trouble.
func explain(dir string, err error) error {
	if IsFull(err) {
		return fmt.Errorf("%s: %w", dir, FullDisk(err))
	}
	return err
}

const fullText = "the disk is full; free some space"

// FullDisk says what to do about an error of a full disk that does not say so yet;
// any other error stays what it is.
func FullDisk(err error) error {
	if IsFull(err) && !strings.Contains(err.Error(), fullText) {
		return fmt.Errorf(fullText+": %w", err)
	}
	return err
}

// IsFull tells whether an error is one of a full disk, or of a full quota.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
