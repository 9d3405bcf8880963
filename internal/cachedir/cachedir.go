// Package cachedir says where what is fetched or derived is kept: the folder
// that the project's scripts use too.
package cachedir

import (
	"errors"
	"os"
	"path/filepath"
)

// Path is $XDG_CACHE_HOME/justrl, else ~/.cache/justrl. It makes nothing.
func Path() (string, error) {
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", errors.New("set HOME, or XDG_CACHE_HOME, to have a place for the cache")
		}
		dir = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(dir) {
		return "", errors.New("XDG_CACHE_HOME must be an absolute path, is " + dir)
	}
	return filepath.Join(dir, "justrl"), nil
}
