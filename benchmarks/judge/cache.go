package judge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Cache keeps verdicts in a file, a line each, by the SHA-256 of all that was
// asked: the model's name, the bound on what it says, the template, question,
// truth, and as much of the response as was sent. A line is one write to the
// end of the file, so that processes can share it, and outlives the process,
// however that ends. Lines that are no verdicts are passed over: what a killed
// process half wrote, and a [Nonsense], which is kept to be read by people and
// holds for its process only, as the server's fault may be mended by the next.
//
// A nil Cache keeps nothing. It is safe for concurrent use.
type Cache struct {
	path string
	f    *os.File

	mu   sync.Mutex
	said map[string]string
	err  error // of a failed write
}

// entry is a line of the file.
type entry struct {
	Key       string `json:"key"`
	Judgement string `json:"judgement"`
	// Said is what the judge said where that is no judgement, cut.
	Said string `json:"said,omitempty"`
}

// maxSaid bounds what a line quotes of a judge, in bytes.
const maxSaid = 500

// OpenCache reads a cache, or makes it. The caller closes it.
func OpenCache(path string) (*Cache, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("judge's cache: %w", err)
	}
	c := &Cache{path: path, f: f, said: map[string]string{}}
	if err := c.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("judge's cache %s: %w", path, err), f.Close())
	}
	return c, nil
}

func (c *Cache) read() error {
	whole := true // the file's last line ends
	for r := bufio.NewReader(c.f); ; {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // longer than any of ours
			whole = false
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case whole:
			c.take(line)
		}
		whole = err == nil || whole && len(line) == 0
		if err != nil {
			break
		}
	}
	if whole {
		return nil
	}
	_, err := c.f.WriteString("\n") // what follows is to be a line of its own
	return err
}

func (c *Cache) take(line []byte) {
	var e entry
	if json.Unmarshal(line, &e) != nil || len(e.Key) != hex.EncodedLen(sha256.Size) {
		return
	}
	if e.Judgement != Nonsense && read(e.Judgement) == e.Judgement {
		c.said[e.Key] = e.Judgement
	}
}

func (c *Cache) get(key string) (said string, known bool) {
	if c == nil {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	said, known = c.said[key]
	return said, known
}

func (c *Cache) add(key, said, raw string) error {
	if c == nil {
		return nil
	}
	e := entry{Key: key, Judgement: said}
	if said == Nonsense {
		e.Said = strings.ToValidUTF8(raw[:min(len(raw), maxSaid)], "�")
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		if _, err := c.f.Write(line.Bytes()); err != nil {
			c.err = fmt.Errorf("judge's cache: %w", err)
		}
	}
	if c.err == nil {
		c.said[key] = said
	}
	return c.err
}

// Close closes the file.
func (c *Cache) Close() error {
	if c == nil {
		return nil
	}
	return c.f.Close()
}

// keyOf hashes parts, each with its length before it, so that no two lists are one text.
func keyOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}
