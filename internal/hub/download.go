package hub

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/internal/endpoint"
)

// Plain is a file outside the hub.
type Plain struct {
	URL    string
	SHA256 string // hexadecimal, lower case
	Size   int64  // bytes; -1 if nobody knows
	Path   string // where it goes; the folder is made
	Hint   string // what to do where the server has no such file
	Move   string // what to do where the folder cannot be written
}

// Download brings a file from any address to p.Path, with resume, lock, retries
// and check as [Client.File] does it, and without a token, whatever its address. Its
// part is kept at p.Path.incomplete, and p.Path.lock is there meanwhile. A file that is there with the right checksum is left alone;
// another one is a [ChecksumError].
func (c *Client) Download(ctx context.Context, p Plain) error {
	check := func() error {
		return CheckFile(p.Path, p.SHA256, "another file is in its place; move it away to have the right one fetched")
	}
	if err := check(); !os.IsNotExist(err) {
		return err
	}
	if c.o.Offline {
		return &OfflineError{What: filepath.Base(p.Path), Where: filepath.Dir(p.Path)}
	}
	t := transfer{url: p.URL, name: bare(p.URL), public: true, size: p.Size, sum: sum(p.SHA256), path: p.Path, move: p.Move, hint: func(e *endpoint.StatusError, code string) string {
		if e.Status == http.StatusNotFound || e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized {
			return p.Hint
		}
		return busyHint(e, code)
	}}
	if !sumPattern.MatchString(p.SHA256) || strings.ContainsAny(p.Path, "\x00") {
		return fmt.Errorf("%s: %q is no SHA-256", p.URL, p.SHA256)
	}
	if err := os.MkdirAll(filepath.Dir(p.Path), 0o777); err != nil {
		return unwritable(filepath.Dir(p.Path), p.Move, err)
	}
	held, err := c.lock(ctx, p.Path+".lock", t.name)
	if err != nil {
		return unwritable(filepath.Dir(p.Path), p.Move, err)
	}
	defer held.remove()
	// Whoever had the lock may have brought it.
	if err := check(); !os.IsNotExist(err) {
		return err
	}
	t.locked = held.locked
	return c.bring(ctx, t)
}
