package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

// File returns the path in the cache of one file, r.File at r.Revision, and
// fetches it before if it is not there. It blocks for as long as that takes; on an
// error, what has come is kept for the next call.
//
// A commit's files are taken from the cache without a request. Of a branch or a tag
// the hub is asked first; if it cannot be reached, or the client is offline, the cache's is good enough.
func (c *Client) File(ctx context.Context, r Ref) (string, error) {
	if err := c.usable(r); err != nil {
		return "", err
	}
	if r.File == "" {
		return "", fmt.Errorf("%s: names no file", r)
	}
	cached := c.cached(r)
	if cached != "" && (c.o.Offline || commitPattern.MatchString(r.Revision)) {
		return cached, nil
	}
	if c.o.Offline {
		return "", &OfflineError{What: r.String(), Where: c.o.Cache}
	}
	retry := c.o.Retry
	if cached != "" {
		retry.Tries = 1
	}
	m, err := c.head(ctx, r, retry)
	if err != nil {
		if cached != "" && outage(err) {
			c.o.Notice(fmt.Sprintf("%s is taken from the cache as it was: %v", r, err))
			return cached, nil
		}
		return "", fmt.Errorf("%s: %w", r, err)
	}
	path, err := c.place(ctx, r, m)
	if err != nil {
		return "", fmt.Errorf("%s: %w", r, err)
	}
	c.remember(r, m.commit)
	return path, nil
}

// usable checks a Ref and that there is a cache to put it.
func (c *Client) usable(r Ref) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	if c.o.Cache == "" {
		return errors.New("there is no place for files of the Hugging Face hub; set HF_HUB_CACHE")
	}
	return nil
}

// outage tells a hub that is not there, or ails, from one that says no.
func outage(err error) bool {
	var un *endpoint.UnreachableError
	return endpoint.Retryable(err) || errors.As(err, &un)
}

// commit is the commit that a revision was last seen at; "" if never.
func (c *Client) commit(r Ref) string {
	if commitPattern.MatchString(r.Revision) {
		return r.Revision
	}
	b, err := os.ReadFile(c.ref(r))
	if s := strings.TrimSpace(string(b)); err == nil && commitPattern.MatchString(s) {
		return s
	}
	return ""
}

func (c *Client) ref(r Ref) string {
	return filepath.Join(c.repo(r), "refs", filepath.FromSlash(r.Revision))
}

// cached is the path of a file that is in the cache; "" if it is not.
func (c *Client) cached(r Ref) string {
	commit := c.commit(r)
	if commit == "" {
		return ""
	}
	path := filepath.Join(c.snapshot(r, commit), filepath.FromSlash(r.File))
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// remember notes which commit a branch or tag is at. A cache that cannot be
// written serves without that.
func (c *Client) remember(r Ref, commit string) {
	if r.Revision == commit || c.commit(r) == commit {
		return
	}
	path := c.ref(r)
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = atomicdir.ReplaceFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, commit)
			return err
		})
	}
	if err != nil {
		c.o.Notice(fmt.Sprintf("%s: the cache does not learn that it is at %.12s: %v", r, commit, err))
	}
}

// meta is what the hub says of a file.
type meta struct {
	commit string
	sum    sum
	size   int64 // bytes; -1 if it does not say
}

// head asks for a file's commit, checksum and size. They are in the replies of the
// hub's own origin, of which the last may be a redirect to where the bytes are; what
// a host says that is only to send those is not asked for.
func (c *Client) head(ctx context.Context, r Ref, retry endpoint.Retry) (meta, error) {
	var m meta
	err := retry.Do(ctx, func(ctx context.Context) error {
		ctx, watch := c.watched(ctx)
		defer watch.end()
		var commit, linked, etag, size string
		resp, err := c.send(ctx, request{method: http.MethodHead, url: c.fileURL(r), hint: hubHint, home: true, seen: func(resp *http.Response) bool {
			h := resp.Header
			commit, linked = first(h.Get("X-Repo-Commit"), commit), first(h.Get("X-Linked-Etag"), linked)
			etag, size = h.Get("ETag"), first(h.Get("X-Linked-Size"), size)
			return commit != "" && linked != ""
		}})
		if err != nil {
			return err
		}
		discard(resp)
		bad := func(err error) error {
			return &endpoint.ReplyError{Method: http.MethodHead, URL: bare(resp.Request.URL.String()), Err: err}
		}
		if to := resp.Header.Get("Location"); commit == "" && resp.StatusCode >= 300 {
			return bad(fmt.Errorf("redirects to %s and says nothing of the file: if that is the hub, set HF_ENDPOINT to its address", bare(to)))
		}
		if !commitPattern.MatchString(commit) {
			return bad(errors.New("its X-Repo-Commit is no commit, so that this is no Hugging Face hub: check HF_ENDPOINT and any proxy between"))
		}
		if m.sum, err = etagSum(first(linked, etag)); err != nil {
			return bad(err)
		}
		if commitPattern.MatchString(r.Revision) && commit != r.Revision {
			return bad(fmt.Errorf("is of commit %s, asked for was %s", commit, r.Revision))
		}
		m.commit, m.size = commit, resp.ContentLength
		if resp.StatusCode >= 300 {
			m.size = -1
		}
		if size != "" {
			if m.size, err = strconv.ParseInt(size, 10, 64); err != nil || m.size < 0 {
				return bad(fmt.Errorf("its X-Linked-Size is %q", size))
			}
		}
		return nil
	})
	return m, err
}

// place makes sure that the blob is there and the snapshot links to it, and
// returns the link's path.
func (c *Client) place(ctx context.Context, r Ref, m meta) (string, error) {
	repo := c.repo(r)
	blob := filepath.Join(repo, "blobs", string(m.sum))
	link := filepath.Join(c.snapshot(r, m.commit), filepath.FromSlash(r.File))
	if whole(link, m.size) {
		return link, nil
	}
	locks := filepath.Join(c.o.Cache, ".locks", r.folder())
	for _, dir := range []string{filepath.Dir(blob), filepath.Dir(link), locks} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return "", unwritable(c.o.Cache, moveCache, err)
		}
	}
	held, err := c.lock(ctx, filepath.Join(locks, string(m.sum)+".lock"), r.String())
	if err != nil {
		return "", unwritable(c.o.Cache, moveCache, err)
	}
	defer held.close()
	if !whole(blob, m.size) {
		at := r
		at.Revision = m.commit // and not what a branch may have become since
		err := c.bring(ctx, transfer{url: c.fileURL(at), name: r.File, size: m.size, sum: m.sum, path: blob, locked: held.locked, hint: hubHint, move: moveCache})
		if err != nil {
			return "", err
		}
	}
	if whole(link, m.size) {
		return link, nil
	}
	return link, relink(blob, link)
}

const moveCache = "set HF_HUB_CACHE to a folder of your own"

// whole tells whether a file, links followed, is there with all its bytes.
func whole(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// relink makes link, in place of whatever is there, a relative link to blob.
func relink(blob, link string) error {
	to, err := filepath.Rel(filepath.Dir(link), blob)
	if err != nil {
		return err
	}
	tmp := link + "." + rand.Text()[:8] + ".tmp"
	if err := os.Symlink(to, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
