package atomicdir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins the names of dir's temporary siblings.
func prefix(dir string) string { return "." + filepath.Base(dir) + ".tmp-" }

// randomLen is how many characters follow it.
const randomLen = 10

// temporary matches the names of all temporary folders of this package.
var temporary = regexp.MustCompile(`^\..+\.tmp-[a-z2-7]{10}$`)

// Sweep removes what killed processes have left in a folder: every temporary
// of this package, whatever it was to become, that no living process is
// filling. A folder that is not there is no error.
func Sweep(parent string) error {
	err := sweepWhere(parent, temporary.MatchString)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// newTemporary makes an empty sibling of dir and locks it; unlock ends that.
// The lock ends with the process too, which is how sweep knows a leftover.
func newTemporary(dir string, mode fs.FileMode) (tmp string, unlock func() error, err error) {
	const attempts = 10
	for range attempts {
		tmp = filepath.Join(filepath.Dir(dir), prefix(dir)+strings.ToLower(rand.Text()[:randomLen]))
		if err := os.Mkdir(tmp, mode); err != nil {
			return "", nil, err
		}
		// Another Create may sweep it away before it is locked.
		unlock, err = lock(tmp)
		if err == nil {
			return tmp, unlock, nil
		}
		if !busy(err) {
			break
		}
	}
	return "", nil, errors.Join(fmt.Errorf("lock %s: %w", tmp, err), os.RemoveAll(tmp))
}

// sweep removes the temporary siblings of dir that no living process fills.
func sweep(dir string) error {
	return sweepWhere(filepath.Dir(dir), func(name string) bool { return strings.HasPrefix(name, prefix(dir)) })
}

func sweepWhere(parent string, ours func(name string) bool) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	var first error // the others' leftovers are not to wait for one that cannot go
	for _, e := range entries {
		if !e.IsDir() || !ours(e.Name()) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		unlock, err := lock(path)
		if busy(err) {
			continue // being filled, or just gone
		}
		if err == nil {
			err = errors.Join(os.RemoveAll(path), unlock())
		}
		if err != nil && first == nil {
			first = fmt.Errorf("leftover %s: %w", path, err)
		}
	}
	return first
}

// lock takes an exclusive lock on a folder without waiting. It fails with an
// error that busy knows if another has the lock or the folder is gone.
func lock(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	// Who had the lock before may have removed the folder.
	held, err := d.Stat()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if there, err := os.Lstat(dir); err != nil || !os.SameFile(held, there) {
		return nil, errors.Join(fs.ErrNotExist, d.Close())
	}
	return d.Close, nil
}

// busy tells the failures of lock that another process causes.
func busy(err error) bool {
	return errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist)
}
