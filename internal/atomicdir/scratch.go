package atomicdir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// scratch begins the names of what Scratch makes, whatever it is for.
const scratch = "justrl-"

// Scratch makes an empty folder below [os.TempDir] that only this user can open,
// and removes those of processes that were killed, whatever they were for; name
// says what this one is for. The caller calls remove when nothing uses the folder
// any more.
//
// Leftovers are told by the lock that their process held. Where temporary folders
// cannot be locked, what a killed process leaves stays.
func Scratch(name string) (dir string, remove func() error, err error) {
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", nil, err
	}
	// Another user's, or one that a program holds open on NFS, stays: that is no reason not to work.
	_ = sweepWhere(parent, func(name string) bool {
		return strings.HasPrefix(name, "."+scratch) && temporary.MatchString(name)
	})
	dir, unlock, err := newTemporary(filepath.Join(parent, scratch+name), 0o700)
	if err != nil {
		// Without a lock, under a name that nobody sweeps; what is wrong with the place, this tells.
		if dir, err = os.MkdirTemp(parent, scratch+name+"-"); err != nil {
			return "", nil, err
		}
		unlock = func() error { return nil }
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), unlock()) }, nil
}
