package hub

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kinds of repositories.
const (
	Model   = "model"
	Dataset = "dataset"
)

// DefaultRevision is the branch that a repository begins with.
const DefaultRevision = "main"

// Ref names a repository, a state of it and, perhaps, a file in it.
type Ref struct {
	Kind     string // [Model] or [Dataset]
	ID       string // org/name
	Revision string // branch, tag or commit
	File     string // path in the repository; "" names none
}

var (
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// maxID is the hub's own bound on a part of an id.
const maxID = 96

// ParseRef reads org/name[@REVISION][/FILE], as the hub's own hf:// addresses have
// it; that prefix, and datasets/ or models/ after it, may be there. A slash within
// a revision is written %2F. kind holds unless the address says its own; the revision defaults to main.
func ParseRef(s, kind string) (Ref, error) {
	bad := func(why string) (Ref, error) {
		return Ref{}, fmt.Errorf("%q is no id of the Hugging Face hub: %s; write it as org/name, org/name@REVISION or org/name/FILE", s, why)
	}
	rest, isAddress := strings.CutPrefix(s, "hf://")
	if isAddress {
		if after, ok := strings.CutPrefix(rest, "datasets/"); ok {
			rest, kind = after, Dataset
		} else if after, ok := strings.CutPrefix(rest, "models/"); ok {
			rest, kind = after, Model
		}
	}
	org, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return bad("it has no slash")
	}
	name, file, named := strings.Cut(rest, "/")
	if named && file == "" {
		return bad("it ends in a slash")
	}
	name, revision, pinned := strings.Cut(name, "@")
	r := Ref{Kind: kind, ID: org + "/" + name, Revision: DefaultRevision, File: file}
	if pinned {
		var err error
		if r.Revision, err = url.PathUnescape(revision); err != nil || r.Revision == "" {
			return bad("its revision cannot be read")
		}
	}
	if err := r.check(); err != nil {
		return bad(err.Error())
	}
	return r, nil
}

// check refuses whatever could name a place outside the cache, or mean
// something else to the hub.
func (r Ref) check() error {
	org, name, _ := strings.Cut(r.ID, "/")
	switch {
	case r.Kind != Model && r.Kind != Dataset:
		return fmt.Errorf("its type is neither %s nor %s", Model, Dataset)
	case !idPattern.MatchString(r.ID) || len(org) > maxID || len(name) > maxID:
		return fmt.Errorf("letters, digits, '-', '_' and '.' make the two parts of an id, at most %d each", maxID)
	case strings.Contains(r.ID, "--") || strings.Contains(r.ID, "..") || strings.HasSuffix(r.ID, ".git"):
		return fmt.Errorf("an id has no --, no .. and does not end in .git")
	case !local(r.Revision):
		return fmt.Errorf("the revision %q is none", r.Revision)
	case r.File != "" && !local(r.File):
		return fmt.Errorf("%q names no file in a repository", r.File)
	}
	return nil
}

// local tells a clean path below a folder, with slashes, from all others. One
// that a terminal would not show as it is counts among those.
func local(path string) bool {
	return filepath.IsLocal(path) && utf8.ValidString(path) && !strings.Contains(path, "\\") && !strings.ContainsFunc(path, unicode.IsControl) && filepath.ToSlash(filepath.Clean(path)) == path && path != "."
}

// String is the id with what differs from the default behind it.
func (r Ref) String() string {
	s := r.ID
	if r.Revision != "" && r.Revision != DefaultRevision {
		s += "@" + r.Revision
	}
	if r.File != "" {
		s += "/" + r.File
	}
	return s
}

// folder is the repository's name in the cache.
func (r Ref) folder() string { return r.Kind + "s--" + strings.ReplaceAll(r.ID, "/", "--") }

// prefix goes before an id in the hub's addresses of files.
func (r Ref) prefix() string {
	if r.Kind == Dataset {
		return "datasets/"
	}
	return ""
}

// fileURL is where a file is.
func (c *Client) fileURL(r Ref) string {
	var parts []string
	for part := range strings.SplitSeq(r.File, "/") {
		parts = append(parts, url.PathEscape(part))
	}
	return c.root.String() + "/" + r.prefix() + r.ID + "/resolve/" + url.PathEscape(r.Revision) + "/" + strings.Join(parts, "/")
}

// listURL is where a commit and its files are told.
func (c *Client) listURL(r Ref) string {
	return c.root.String() + "/api/" + r.Kind + "s/" + r.ID + "/revision/" + url.PathEscape(r.Revision) + "?blobs=true"
}

// repo is the repository's folder in the cache.
func (c *Client) repo(r Ref) string { return filepath.Join(c.o.Cache, r.folder()) }

// snapshot is where a commit's files are linked from.
func (c *Client) snapshot(r Ref, commit string) string {
	return filepath.Join(c.repo(r), "snapshots", commit)
}
