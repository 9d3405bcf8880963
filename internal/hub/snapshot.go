package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
)

// Snapshot is a commit's files in the cache.
type Snapshot struct {
	Ref    Ref
	Commit string
	Dir    string // its files are below, by their paths in the repository
	Files  []File // those that were wanted, by path
}

// File is a file of a commit.
type File struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes; -1 if nobody says
}

// maxList bounds a list of files: 256 MiB are a million of them.
const maxList = 256 << 20

// Snapshot brings all wanted files of a revision into the cache; want sees their
// paths, nil wants all. It returns when every one is there and checked, or with the
// first error; what has come is kept.
//
// If the hub cannot be reached, or the client is offline, what is in the cache is
// good enough if it is complete, as far as the cache knows.
func (c *Client) Snapshot(ctx context.Context, r Ref, want func(path string) bool) (Snapshot, error) {
	if err := c.usable(r); err != nil {
		return Snapshot{}, err
	}
	if want == nil {
		want = func(string) bool { return true }
	}
	old, oldErr := c.fromCache(r, want)
	if oldErr == nil && (c.o.Offline || commitPattern.MatchString(r.Revision) && old.known) {
		return old.Snapshot, nil
	}
	if c.o.Offline {
		return Snapshot{}, oldErr
	}
	retry := c.o.Retry
	if oldErr == nil {
		retry.Tries = 1
	}
	commit, files, err := c.list(ctx, r, retry)
	if err != nil {
		if oldErr == nil && outage(err) {
			c.o.Notice(fmt.Sprintf("%s is taken from the cache as it was: %v", r, err))
			return old.Snapshot, nil
		}
		return Snapshot{}, fmt.Errorf("%s: %w", r, err)
	}
	s := Snapshot{Ref: r, Commit: commit, Dir: c.snapshot(r, commit), Files: wanted(files, want)}
	if err := c.bringAll(ctx, r, s); err != nil {
		return Snapshot{}, err
	}
	c.keepTree(r, commit, files)
	c.remember(r, commit)
	return s, nil
}

// wanted are the files that want wants, by path.
func wanted(files map[string]treeFile, want func(string) bool) []File {
	var out []File
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if want(path) {
			out = append(out, File{path, files[path].Size})
		}
	}
	return out
}

func (c *Client) bringAll(ctx context.Context, r Ref, s Snapshot) error {
	if len(s.Files) == 0 {
		return fmt.Errorf("%s: has no file of the kind that is wanted", r)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.o.Parallel)
	for _, f := range s.Files {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			_, err := c.File(ctx, Ref{Kind: r.Kind, ID: r.ID, Revision: s.Commit, File: f.Path})
			return err
		})
	}
	return group.Wait()
}

// list asks the hub for a revision's commit and files.
func (c *Client) list(ctx context.Context, r Ref, retry endpoint.Retry) (commit string, files map[string]treeFile, err error) {
	var reply struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Path   string `json:"rfilename"`
			Size   *int64 `json:"size"`
			BlobID string `json:"blobId"`
			LFS    *struct {
				SHA256 string `json:"sha256"`
				Size   int64  `json:"size"`
			} `json:"lfs"`
		} `json:"siblings"`
	}
	bad := func(format string, args ...any) error {
		return &endpoint.ReplyError{Method: http.MethodGet, URL: bare(c.listURL(r)), Err: fmt.Errorf(format, args...)}
	}
	err = retry.Do(ctx, func(ctx context.Context) error {
		ctx, watch := c.watched(ctx)
		defer watch.end()
		resp, err := c.send(ctx, request{method: http.MethodGet, url: c.listURL(r), hint: hubHint})
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // it has been read
		b, err := readAll(resp, watch)
		if err != nil {
			return err
		}
		if isPage(resp) {
			return bad("is a web page, not a list of files: check HF_ENDPOINT and any proxy between")
		}
		if err := json.Unmarshal(b, &reply); err != nil {
			return bad("is no list of files: %w", err)
		}
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	if !commitPattern.MatchString(reply.SHA) {
		return "", nil, bad("names no commit: check HF_ENDPOINT")
	}
	files = map[string]treeFile{}
	for _, s := range reply.Siblings {
		if !local(s.Path) {
			return "", nil, bad("has a file %q, which is no path in a repository", s.Path)
		}
		f := treeFile{Size: -1, BlobID: s.BlobID}
		if s.Size != nil {
			f.Size = *s.Size
		}
		if s.LFS != nil {
			f.LFSSHA256, f.LFSSize = s.LFS.SHA256, s.LFS.Size
		}
		files[s.Path] = f
	}
	return reply.SHA, files, nil
}

// readAll reads a body under its watch.
func readAll(resp *http.Response, watch *watch) ([]byte, error) {
	var b strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		watch.news(n)
		b.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return []byte(b.String()), nil
		case b.Len() > maxList:
			return nil, &endpoint.ReplyError{Method: resp.Request.Method, URL: bare(resp.Request.URL.String()), Err: fmt.Errorf("is over %d bytes", maxList)}
		case context.Cause(resp.Request.Context()) != nil:
			return nil, stalled(resp.Request, context.Cause(resp.Request.Context()))
		case err != nil:
			return nil, &endpoint.ReplyError{Method: resp.Request.Method, URL: bare(resp.Request.URL.String()), Err: &cutError{int64(b.Len()), resp.ContentLength, err}}
		}
	}
}

// List returns a revision's commit and files, by path, without fetching any.
// It goes by the cache where [Client.Snapshot] would.
func (c *Client) List(ctx context.Context, r Ref) (commit string, files []File, err error) {
	if err := c.usable(r); err != nil {
		return "", nil, err
	}
	all := func(string) bool { return true }
	commit = c.commit(r)
	old, known := c.readTree(r, commit)
	if known && (c.o.Offline || commit == r.Revision) {
		return commit, wanted(old, all), nil
	}
	if c.o.Offline {
		return "", nil, &OfflineError{What: "the list of files of " + r.String(), Where: c.o.Cache}
	}
	retry := c.o.Retry
	if known {
		retry.Tries = 1
	}
	now, found, err := c.list(ctx, r, retry)
	switch {
	case err == nil:
		c.keepTree(r, now, found)
		return now, wanted(found, all), nil
	case known && outage(err):
		c.o.Notice(fmt.Sprintf("the list of files of %s is taken from the cache as it was: %v", r, err))
		return commit, wanted(old, all), nil
	}
	return "", nil, fmt.Errorf("%s: %w", r, err)
}

type cachedSnapshot struct {
	Snapshot
	known bool // which files the commit has
}

// fromCache is a snapshot of what the cache has. Where it has no list of the
// commit's files, as older versions of huggingface_hub leave it, what is there is taken for all.
func (c *Client) fromCache(r Ref, want func(string) bool) (s cachedSnapshot, err error) {
	commit := c.commit(r)
	s.Snapshot = Snapshot{Ref: r, Commit: commit, Dir: c.snapshot(r, commit)}
	missing := &OfflineError{What: r.String(), Where: c.o.Cache}
	if commit == "" {
		return s, missing
	}
	if files, ok := c.readTree(r, commit); ok {
		s.known = true
		s.Files = wanted(files, want)
		for _, f := range s.Files {
			if !whole(filepath.Join(s.Dir, filepath.FromSlash(f.Path)), f.Size) {
				missing.What = f.Path + " of " + missing.What
				return s, missing
			}
		}
	} else {
		err = filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(s.Dir, path)
			if info, statErr := os.Stat(path); err == nil && statErr == nil && want(filepath.ToSlash(rel)) {
				s.Files = append(s.Files, File{filepath.ToSlash(rel), info.Size()})
			}
			return err
		})
	}
	if err != nil || len(s.Files) == 0 {
		return s, missing
	}
	return s, nil
}
