package sets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/cachedir"
	"github.com/justrl/justrl/internal/hub"
)

// Store is where the sets' files are. It is safe for concurrent use, by several
// processes too.
type Store struct {
	// Dir is a folder of the user's, with NAME.parquet or, as in the authors'
	// repository, NAME/test.parquet; "" is the cache.
	Dir string
	// Hub fetches what is missing; nil fetches nothing.
	Hub *hub.Client
}

// MissingError is a set without a file.
type MissingError struct {
	Name  string
	Where string // path
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not there: there is no %s; justrl data fetch %s brings it", e.Name, e.Where, e.Name)
}

// Path is where a set's file is, or would be fetched to if there is none.
func (s Store) Path(set Set) (string, error) {
	dir := s.Dir
	if dir == "" {
		cache, err := cachedir.Path()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "benchmarks")
	}
	path := filepath.Join(dir, set.Name+".parquet")
	if s.Dir != "" {
		theirs := filepath.Join(dir, set.Name, "test.parquet")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(theirs); err == nil {
				return theirs, nil
			}
		}
	}
	return path, nil
}

// Find is the path of a set's file, whose checksum is right. One that is not in the
// cache is fetched, if there is a Hub that may; one that is not in the user's
// folder is a [*MissingError].
func (s Store) Find(ctx context.Context, set Set) (string, error) {
	path, err := s.Check(set)
	var missing *MissingError
	if errors.As(err, &missing) && s.Dir == "" && s.Hub != nil {
		path, _, err = s.Fetch(ctx, set)
	}
	return path, err
}

// Check is the path of a set's file that is there and whose checksum is right. Its
// error is a [*MissingError], a [*hub.ChecksumError], or one of the file system.
func (s Store) Check(set Set) (string, error) {
	path, err := s.Path(set)
	if err != nil {
		return "", err
	}
	hint := fmt.Sprintf("it is not the set %s; remove it, and justrl data fetch %s brings the right one (a file of your own is named by its path)", set.Name, set.Name)
	err = hub.CheckFile(path, set.SHA256, hint)
	if errors.Is(err, fs.ErrNotExist) {
		err = &MissingError{set.Name, path}
	}
	return path, err
}

// Fetch brings a set's file to its place, the user's folder included, and tells
// whether it was there already. In the cache a damaged one is replaced; in the
// user's folder it is an error.
func (s Store) Fetch(ctx context.Context, set Set) (path string, there bool, err error) {
	path, err = s.Check(set)
	if err == nil {
		return path, true, nil
	}
	var missing *MissingError
	var sum *hub.ChecksumError
	switch {
	case errors.As(err, &sum) && s.Dir == "" && s.Hub != nil && !s.Hub.Offline():
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", false, err
		}
	case !errors.As(err, &missing):
		return "", false, err
	}
	if s.Hub == nil {
		return "", false, err
	}
	err = s.Hub.Download(ctx, hub.Plain{
		URL: set.URL(), SHA256: set.SHA256, Size: set.Size, Path: path,
		Hint: "set " + OriginEnv + " to a mirror that has data/" + set.Name + "/test.parquet",
		Move: "give --data-dir a folder of your own, or set XDG_CACHE_HOME",
	})
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", set.Name, err)
	}
	return path, false, nil
}

// Load reads a set's problems from where [Store.Find] finds it.
func (s Store) Load(ctx context.Context, set Set) ([]benchmarks.Problem, error) {
	path, err := s.Find(ctx, set)
	if err != nil {
		return nil, err
	}
	return set.Read(ctx, path)
}
