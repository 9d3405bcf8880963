package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
)

const (
	// placedName is the marker in a folder whose weights are replaced in place.
	placedName = ".justrl-weights"
	// originalsName is the folder beside it with the weights that were there first.
	originalsName = ".justrl-original"
)

// placed is what the marker says. A folder that is not whole holds files of two
// versions: its writer was stopped half-way. The next load puts that right.
type placed struct {
	Version int64  `json:"version"`
	SHA256  string `json:"weights_sha256"`
	Whole   bool   `json:"whole"`
}

// inPlace replaces the weights in the folder that the server was started with,
// each file whole or not at all, and has it read them again. What was there
// first is kept in a folder of its own.
type inPlace struct {
	p     *Publisher
	named bool   // reload_weights is told the folder: a load from files may have left it at another
	said  string // the server's word for the folder
	root  string // its path here; "" before it was found to be the served model's
}

func (w *inPlace) reload(ctx context.Context, s bridge.Snapshot) (err error) {
	if err := w.find(ctx); err != nil {
		return err
	}
	unlock, err := lockFolder(ctx, w.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := w.place(ctx, s); err != nil {
		return fmt.Errorf("replace the weights in %s: %w", w.root, err)
	}
	if w.named {
		return w.p.reloadWeights(ctx, w.said)
	}
	return w.p.reloadWeights(ctx, "")
}

// find makes sure that the folder is there, of the served model, and one that may be written to.
func (w *inPlace) find(ctx context.Context) error {
	if w.root != "" {
		return nil
	}
	said, err := w.p.servedRoot(ctx)
	if err != nil {
		return err
	}
	root := w.p.o.Root
	if root == "" {
		root = said
	}
	cannot := func(what, hint string) error {
		return &bridge.UnsupportedError{Server: w.p.e.URL(), What: what, Hint: hint}
	}
	const copied = "start it with the absolute path of a copy of the model, in a folder of this machine too"
	st, err := os.Stat(root)
	if !filepath.IsAbs(root) || err != nil || !st.IsDir() {
		return cannot(fmt.Sprintf("was started with %q, which is no folder here whose files could be replaced", root), copied)
	}
	if own, err := os.Stat(w.p.o.Protect); w.p.o.Protect != "" && err == nil && os.SameFile(st, own) {
		return cannot(fmt.Sprintf("was started with %s, the model that the run itself begins with: its weights must stay", root), copied)
	}
	old, err := weightFiles(root)
	if err != nil {
		return err
	}
	for _, name := range old {
		if st, err := os.Lstat(filepath.Join(root, name)); err != nil {
			return err
		} else if !st.Mode().IsRegular() {
			return cannot(fmt.Sprintf("was started with %s, whose %s is a link into somebody's cache", root, name), copied)
		}
	}
	if was, err := readPlaced(root); err != nil {
		return err
	} else if was == nil || was.Whole { // files of two versions need not fit together
		have, err := w.p.o.Inspector.Tensors(root)
		if err == nil {
			err = bridge.CheckTensors(anyDType(w.p.o.Want), have)
		}
		if err != nil {
			return cannot(fmt.Sprintf("was started with %s, which is not the run's model (%v)", root, err), copied)
		}
	}
	w.said, w.root = said, root
	return nil
}

// place makes root's weights those of s, under the marker.
func (w *inPlace) place(ctx context.Context, s bridge.Snapshot) error {
	old, err := weightFiles(w.root)
	if err != nil {
		return err
	}
	if err := keepOriginals(w.root, old); err != nil {
		return err
	}
	now := placed{Version: s.Version, SHA256: s.SHA256}
	if err := writePlaced(w.root, now); err != nil {
		return err
	}
	fresh, err := weightFiles(s.Dir)
	if err != nil {
		return err
	}
	stale := map[string]bool{}
	for _, name := range old {
		stale[name] = true
	}
	for _, name := range fresh {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		delete(stale, name)
		if err := replaceWith(filepath.Join(w.root, name), filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	for name := range stale { // the server was started with other shards
		if err := os.Remove(filepath.Join(w.root, name)); err != nil {
			return err
		}
	}
	now.Whole = true
	return writePlaced(w.root, now)
}

// keepOriginals links the files that nobody has replaced yet to a folder of
// their own: that takes no room until they are replaced.
func keepOriginals(root string, names []string) error {
	if was, err := readPlaced(root); err != nil || was != nil {
		return err
	}
	dir := filepath.Join(root, originalsName)
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range names {
		if err := os.Link(filepath.Join(root, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func replaceWith(path, from string) (err error) {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// weightFiles are the names of the files of a model's folder that hold its weights, or their index.
func weightFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() && !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".safetensors.index.json")) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no *.safetensors", dir)
	}
	return names, nil
}

// readPlaced reads a folder's marker; nil if nothing was ever replaced there.
func readPlaced(root string) (*placed, error) {
	path := filepath.Join(root, placedName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var was placed
	if err := json.Unmarshal(b, &was); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it if the folder's weights are whole", path, err)
	}
	return &was, nil
}

func writePlaced(root string, now placed) error {
	return atomicdir.ReplaceFile(filepath.Join(root, placedName), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(now)
	})
}

func anyDType(tensors []bridge.Tensor) []bridge.Tensor {
	out := make([]bridge.Tensor, len(tensors))
	for i, t := range tensors {
		out[i] = bridge.Tensor{Name: t.Name, Shape: t.Shape}
	}
	return out
}

// servedRoot is what the server says that it loaded the model from.
func (p *Publisher) servedRoot(ctx context.Context) (string, error) {
	var list struct {
		Data []struct {
			ID   string `json:"id"`
			Root string `json:"root"`
		} `json:"data"`
	}
	if err := p.do(ctx, http.MethodGet, "/v1/models", nil, &list); err != nil {
		return "", err
	}
	for _, m := range list.Data {
		if m.ID == p.o.Model {
			return m.Root, nil
		}
	}
	return "", fmt.Errorf("server %s does not serve %q", p.e, p.o.Model)
}
