package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/guard"
)

// remembered is how many manifests are kept: the live version's and the next,
// and one more for an agent that is late.
const remembered = 3

// Handler serves the snapshots of one run. It is safe for concurrent use; put
// guard.Serve in front of it, which asks for the token.
type Handler struct {
	run   string
	open  func(version int64) (bridge.Snapshot, error)
	chunk int64

	busy  chan struct{} // held while known is read or added to
	known []described   // the newest last
}

type described struct {
	*Manifest
	dir  string
	json []byte
}

var _ http.Handler = (*Handler)(nil)

// Options are a Handler's settings. Run and Open are needed.
type Options struct {
	Run string // the training run's id
	// Open finds the snapshot of a version. An error that is fs.ErrNotExist or
	// atomicdir.ErrIncomplete is a version that is not there.
	Open func(version int64) (bridge.Snapshot, error)
	// ChunkSize is in bytes; 0 is [ChunkSize].
	ChunkSize int64
}

// New makes a Handler; it reads nothing yet.
func New(o Options) (*Handler, error) {
	if o.ChunkSize == 0 {
		o.ChunkSize = ChunkSize
	}
	if !ValidRun(o.Run) || o.Open == nil || o.ChunkSize < minChunk || o.ChunkSize > maxChunk {
		return nil, fmt.Errorf("bridge/share: needs a run's id, its snapshots and chunks of %d to %d bytes; got run %q, %d bytes", minChunk, maxChunk, o.Run, o.ChunkSize)
	}
	return &Handler{run: o.Run, open: o.Open, chunk: o.ChunkSize, busy: make(chan struct{}, 1)}, nil
}

// ServeHTTP implements http.Handler. Paths are compared, not cleaned: there is
// nothing to be redirected to.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/snapshots/")
	number, name, isFile := strings.Cut(rest, "/")
	version, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || version < 0 || strconv.FormatInt(version, 10) != number {
		guard.Refuse(w, http.StatusNotFound, "there is /v1/snapshots/VERSION and /v1/snapshots/VERSION/NAME")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		guard.Refuse(w, http.StatusMethodNotAllowed, "snapshots can only be read")
		return
	}
	d, err := h.find(r.Context(), version)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, atomicdir.ErrIncomplete):
		guard.Refuse(w, http.StatusNotFound, fmt.Sprintf("version %d is not there: it was never published, or has been removed", version))
	case err != nil:
		guard.Refuse(w, http.StatusInternalServerError, err.Error())
	case !isFile:
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stall + time.Duration(len(d.json))*slowest))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(d.json)))
		_, _ = w.Write(d.json) // the client may be gone
	default:
		h.file(w, r, d, name)
	}
}

// file answers with one of the manifest's files.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, d described, name string) {
	var wanted *File
	for i := range d.Files {
		if d.Files[i].Name == name {
			wanted = &d.Files[i]
		}
	}
	if wanted == nil {
		guard.Refuse(w, http.StatusNotFound, fmt.Sprintf("version %d has no such file", d.Version))
		return
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		guard.Refuse(w, http.StatusNotFound, fmt.Sprintf("version %d has been removed", d.Version))
		return
	}
	defer root.Close() //nolint:errcheck // it was only read
	f, size, err := openFile(root, wanted.Name)
	if err != nil {
		guard.Refuse(w, http.StatusNotFound, fmt.Sprintf("version %d: the file is no longer there", d.Version))
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	if size != wanted.Size {
		guard.Refuse(w, http.StatusInternalServerError, fmt.Sprintf("version %d: the file has changed since it was published", d.Version))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+wanted.SHA256.String()+`"`)
	http.ServeContent(newPatient(w), r, "", time.Time{}, f)
}

// find describes a version, once.
func (h *Handler) find(ctx context.Context, version int64) (described, error) {
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	case <-ctx.Done():
		return described{}, context.Cause(ctx)
	}
	for _, d := range h.known {
		if d.Version == version {
			return d, nil
		}
	}
	s, err := h.open(version)
	if err != nil {
		return described{}, err
	}
	m, err := describe(ctx, h.run, s, h.chunk)
	if err != nil {
		return described{}, err
	}
	if m.Version != version {
		return described{}, fmt.Errorf("%s holds version %d, not %d", s.Dir, m.Version, version)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return described{}, err
	}
	d := described{m, s.Dir, b}
	h.known = append(h.known, d)
	h.known = h.known[max(0, len(h.known)-remembered):]
	return d, nil
}
