package agent

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/bridge/share"
)

// chunks finds chunks of earlier snapshots by their hashes.
type chunks struct {
	f     *folder
	where map[share.Sum]spot
	open  map[string]*os.File
}

// spot is where a chunk lies.
type spot struct {
	path   string // relative to the folder
	offset int64
}

// earlier indexes the newest snapshots. One whose manifest is missing, or cannot
// be read, has nothing to give: that costs a transfer and nothing else, as every
// chunk is hashed again when it is taken.
func (f *folder) earlier(most int) (*chunks, error) {
	c := &chunks{f: f, where: map[share.Sum]spot{}, open: map[string]*os.File{}}
	places, err := f.complete()
	if err != nil {
		return nil, err
	}
	for _, p := range places[:min(most, len(places))] {
		b, err := f.root.ReadFile(manifestOf(p))
		if err != nil {
			continue
		}
		m, err := share.ParseManifest(b)
		if err != nil {
			continue
		}
		for _, file := range m.Files {
			for i, sum := range file.Chunks {
				if _, known := c.where[sum]; !known {
					offset, _ := m.Chunk(&file, i)
					c.where[sum] = spot{filepath.Join(p, filepath.FromSlash(file.Name)), offset}
				}
			}
		}
	}
	return c, nil
}

// read fills b with the chunk of that hash, if an earlier snapshot still has it.
func (c *chunks) read(sum share.Sum, b []byte) bool {
	at, known := c.where[sum]
	if !known {
		return false
	}
	f := c.open[at.path]
	if f == nil {
		st, err := c.f.root.Lstat(at.path)
		if err != nil || !st.Mode().IsRegular() {
			return false
		}
		if f, err = c.f.root.Open(at.path); err != nil {
			return false
		}
		c.open[at.path] = f
	}
	_, err := io.ReadFull(io.NewSectionReader(f, at.offset, int64(len(b))), b)
	return err == nil && sha256.Sum256(b) == sum
}

func (c *chunks) close() {
	for _, f := range c.open {
		_ = f.Close() // it was only read
	}
}
