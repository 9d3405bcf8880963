package hub

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// openPart opens what is there of path, or begins it. Without a lock it begins a part of its own.
func openPart(path string, locked bool) (*part, error) {
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
	name := unique(p.path)
	if err := os.Rename(p.name, name); err != nil {
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
		_ = os.Link(name, p.name) // who writes it finds it again, or, here too, its name taken
		return errors.Join(errTaken, os.Remove(name))
	}
	return os.Rename(name, p.path)
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
