package hub

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/atomicdir"
)

// treeFile is a file in trees/COMMIT.json, in huggingface_hub's own form.
type treeFile struct {
	Size      int64  `json:"size"`
	BlobID    string `json:"blob_id"`
	LFSSHA256 string `json:"lfs_sha256,omitempty"`
	LFSSize   int64  `json:"lfs_size,omitempty"`
}

type tree struct {
	Version int                 `json:"format_version"`
	Files   map[string]treeFile `json:"files"`
}

// treeVersion is the one format of trees/COMMIT.json that there is.
const treeVersion = 1

func (c *Client) treePath(r Ref, commit string) string {
	return filepath.Join(c.repo(r), "trees", commit+".json")
}

func (c *Client) readTree(r Ref, commit string) (map[string]treeFile, bool) {
	if commit == "" {
		return nil, false
	}
	b, err := os.ReadFile(c.treePath(r, commit))
	var t tree
	if err != nil || json.Unmarshal(b, &t) != nil || t.Version != treeVersion {
		return nil, false
	}
	for path := range t.Files {
		if !local(path) {
			return nil, false
		}
	}
	return t.Files, true
}

// keepTree writes the list of a commit's files. A cache without it is as good.
func (c *Client) keepTree(r Ref, commit string, files map[string]treeFile) {
	path := c.treePath(r, commit)
	if _, err := os.Lstat(path); err == nil {
		return
	}
	for _, f := range files {
		if f.BlobID == "" || f.Size < 0 { // a mirror that does not say all
			return
		}
	}
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = atomicdir.ReplaceFile(path, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			return enc.Encode(tree{treeVersion, files})
		})
	}
	if err != nil {
		c.o.Notice(fmt.Sprintf("%s: the cache does not learn its list of files: %v", r, err))
	}
}
