package hub

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// part is what is there of a file. Bytes are written where they belong, not where
// an offset happens to be, and a file is never cut: what another process may be
// writing, on a file system whose locks are a lie, stays as long as it is.
type part struct {
	file *os.File
	name string // the file's
	path string // what it becomes
	own  bool   // no other process knows the name
	have int64  // bytes
	old  int64  // of have: not sent by this call
}

// incomplete is the name of a part that the next process goes on with.
func incomplete(path string) string { return path + ".incomplete" }

// unique is a name that nobody else has, beside path.
func unique(path string) string { return path + "." + rand.Text()[:8] + ".incomplete" }

// staleAfter is how long a part of a process's own may be without news before it is
// taken for one of a process that was killed: no transfer is silent for so long.
const staleAfter = 3 * 24 * time.Hour

// uniqueName takes the name of a part of a process's own apart.
var uniqueName = regexp.MustCompile(`^(.+)\.[A-Z2-7]{8}\.incomplete$`)

// sweep removes what killed processes have left beside path under names that nobody
// goes on with: path's own, and other blobs' of a cache.
func sweep(path string) {
	dir, own := filepath.Split(path)
	entries, _ := os.ReadDir(filepath.Clean(dir)) // who cannot look, cannot fetch either, and is told so
	for _, e := range entries {
		name := uniqueName.FindStringSubmatch(e.Name())
		if name == nil || name[1] != own && !sumPattern.MatchString(name[1]) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(dir, e.Name())) // it may be another user's, or just gone
		}
	}
}

// openPart opens what is there of path, or begins it. Without a lock it begins a part of its own.
func openPart(path string, locked bool) (*part, error) {
	sweep(path)
	p := &part{name: incomplete(path), path: path, own: !locked}
	flags := os.O_RDWR | os.O_CREATE
	if p.own {
		p.name, flags = unique(path), flags|os.O_EXCL
	}
	var err error
	if p.file, err = os.OpenFile(p.name, flags, 0o666); err != nil {
		return nil, err
	}
	info, err := p.file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file; move it away", p.name)
	}
	if err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	p.have = info.Size()
	return p, nil
}

// restart puts an empty file in the place of what is there.
func (p *part) restart() error {
	if p.have == 0 {
		p.old = 0
		return nil
	}
	name := unique(p.path)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if err := os.Rename(name, p.name); err != nil {
		return errors.Join(err, f.Close(), os.Remove(name))
	}
	err = p.file.Close()
	p.file, p.have, p.old = f, 0, 0
	return err
}

// errTaken is a part that was renamed or replaced under its writer.
var errTaken = errors.New("another process writes it too, as the locks of this file system do not keep it out: run it again")

// publish syncs the file, closes it and gives it its name. Should the part's name
// be another file's by now, that one is left as it is, and the error is errTaken.
func (p *part) publish() error {
	held, err := p.file.Stat()
	if err = errors.Join(err, p.file.Sync(), p.file.Close()); err != nil {
		return err
	}
	if p.own {
		return os.Rename(p.name, p.path)
	}
	// Under a name of its own nobody can exchange it between the look and the renaming.
	// It is a second name: the next process still finds the file, should this one be
	// killed in between.
	name := unique(p.path)
	err = os.Link(p.name, name)
	linked := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(p.name, name) // not every file system has links
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errTaken
		}
		return err
	}
	there, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(held, there) {
		if !linked {
			_ = os.Link(name, p.name) // who writes it finds it again, or, here too, its name taken
		}
		return errors.Join(errTaken, os.Remove(name))
	}
	if err := os.Rename(name, p.path); err != nil {
		if linked {
			return errors.Join(err, gone(os.Remove(name)))
		}
		return errors.Join(err, os.Rename(name, p.name))
	}
	if !linked {
		return nil
	}
	// Had another given path the same file before, the renaming has left the name.
	err = gone(os.Remove(name))
	if there, statErr := os.Lstat(p.name); statErr == nil && os.SameFile(held, there) {
		err = errors.Join(err, gone(os.Remove(p.name)))
	}
	return err
}

// keep closes what is not whole yet: it stays for the next process, if that can
// find it and there is anything in it.
func (p *part) keep() error {
	held, err := p.file.Stat()
	if err == nil && (p.own || held.Size() == 0) {
		if there, statErr := os.Lstat(p.name); statErr == nil && os.SameFile(held, there) {
			err = gone(os.Remove(p.name))
		}
	}
	return errors.Join(err, p.file.Close())
}

// gone forgives that what was to be removed is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
