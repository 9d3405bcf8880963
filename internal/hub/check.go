package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Checked is a file of a snapshot in the cache, hashed.
type Checked struct {
	Path string // in the repository
	Size int64  // bytes
	Err  error  // nil if it hashes to its blob's name; a [ChecksumError] if not
}

// Check hashes what the cache has of a revision, all below dir, without a request. A
// revision that the cache does not have is an [OfflineError].
func (c *Client) Check(ctx context.Context, r Ref) (dir string, files []Checked, err error) {
	if err := c.usable(r); err != nil {
		return "", nil, err
	}
	commit := c.commit(r)
	dir = c.snapshot(r, commit)
	if _, err := os.Stat(dir); commit == "" || err != nil {
		return "", nil, &OfflineError{What: r.String(), Where: c.o.Cache, Err: errors.New("it has not been fetched")}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil {
			size, err := checkBlob(path)
			files = append(files, Checked{filepath.ToSlash(rel), size, err})
		}
		return err
	})
	return dir, files, err
}

// checkBlob hashes what a link of a snapshot leads to.
func checkBlob(link string) (size int64, err error) {
	blob, err := filepath.EvalSymlinks(link)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(blob)
	if err != nil {
		return 0, err
	}
	name := filepath.Base(blob)
	if !sumPattern.MatchString(name) {
		return info.Size(), errors.New(link + ": is no link to a blob, whose name would be its checksum")
	}
	return info.Size(), sum(name).checkFile(blob, "remove it, and fetch it again")
}
