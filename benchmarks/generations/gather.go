package generations

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/atomicdir"
)

// asideExtension is added to that of a file that was put aside.
const asideExtension = ".aside"

// Relative is a file with answers to the same problems, sampled the same way.
type Relative struct {
	Path  string
	N     int  // samples a problem
	Aside bool // by [PutAside]: it has those to more problems
}

// Relatives are the files beside path that have the same name but for how many
// samples a problem there are, those with the fewest first, and those put aside.
// Without a folder, or where path's name does not say how it was sampled, there
// are none.
func Relatives(path string) ([]Relative, error) {
	want, ok := ParseName(path)
	if !ok {
		return nil, nil
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Relative
	for _, f := range files {
		base, number, aside := strings.Cut(f.Name(), asideExtension)
		if _, err := strconv.Atoi(number); number != "" && err != nil || f.Name() == filepath.Base(path) || filepath.Ext(base) != Extension {
			continue
		}
		name, _ := ParseName(base)
		n, err := strconv.Atoi(name.N)
		name.N = want.N
		if err == nil && name == want {
			all = append(all, Relative{filepath.Join(filepath.Dir(path), f.Name()), n, aside})
		}
	}
	slices.SortStableFunc(all, func(a, b Relative) int { return a.N - b.N })
	return all, nil
}

// Gather makes path, where there is no such file, of the lines of its [Relatives]
// that take says yes to; where there are none it makes nothing. The relatives stay
// as they are. An error of take, which names the line, leaves no file; one that
// another process appends to is an error too.
func Gather(path string, take func(from Relative, g benchmarks.Generation) (bool, error)) error {
	switch _, err := os.Stat(path); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	all, err := Relatives(path)
	if err != nil || len(all) == 0 {
		return err
	}
	taken := 0
	err = atomicdir.ReplaceFile(path, func(w io.Writer) error {
		for _, from := range all {
			n, err := gatherFrom(from, w, take)
			if err != nil {
				return err
			}
			taken += n
		}
		if taken == 0 {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

var errNothing = errors.New("no answers")

func gatherFrom(from Relative, w io.Writer, take func(Relative, benchmarks.Generation) (bool, error)) (taken int, err error) {
	err = held(from.Path, func(f *os.File) error {
		return Each(from.Path, func(at Line, g benchmarks.Generation) error {
			ok, err := take(from, g)
			if err != nil || !ok {
				return err
			}
			line := make([]byte, at.Length, at.Length+1)
			if _, err := f.ReadAt(line, at.Offset); err != nil {
				return err
			}
			taken++
			_, err = w.Write(append(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), '\n'))
			return err
		})
	})
	return taken, err
}

// Each is [Scan], but that a file that is not there, or has no whole line, is one
// without generations.
func Each(path string, do func(at Line, g benchmarks.Generation) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	blank := true
	err = errors.Join(blankUntil(f, &blank), f.Close())
	if err != nil || blank {
		return err
	}
	err = Scan(path, do)
	if torn := (*TornError)(nil); errors.As(err, &torn) {
		return nil
	}
	return err
}

// PutAside renames a file so that it is no file of answers any more, but one that
// [Gather] finds, whole. One that another process appends to is an error.
func PutAside(path string) error {
	return held(path, func(*os.File) error {
		to := path + asideExtension
		for i := 2; ; i++ {
			if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
				return os.Rename(path, to)
			} else if err != nil {
				return err
			}
			to = path + asideExtension + strconv.Itoa(i)
		}
	})
}

// Remove removes a file that nobody appends to.
func Remove(path string) error {
	return held(path, func(*os.File) error { return os.Remove(path) })
}

// held keeps other processes from appending to a file meanwhile.
func held(path string, do func(f *os.File) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%s: another process is writing it: %w", path, err), f.Close())
	}
	return errors.Join(do(f), f.Close())
}
