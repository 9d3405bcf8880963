//go:build torch

package torch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// Export implements updater.Updater.
func (t *Trainer) Export(ctx context.Context, dir string) error {
	return t.export(ctx, dir, safetensors.WriteUnsynced)
}

// ExportHashed is Export, and returns the SHA-256 in hex of the files of weights
// by their names, and WeightsSHA256; both are taken while they are written.
func (t *Trainer) ExportHashed(ctx context.Context, dir string) (files map[string]string, weights string, err error) {
	err = t.export(ctx, dir, func(dir string, l safetensors.Layout, data func(name string) ([]byte, error)) error {
		sums, err := safetensors.WriteHashed(dir, l, data)
		files, weights = sums.Files, sums.Weights
		return err
	})
	return files, weights, err
}

func (t *Trainer) export(ctx context.Context, dir string, write func(string, safetensors.Layout, func(string) ([]byte, error)) error) error {
	if err := copyCompanions(t.opt.Dir, dir, t.opt.DType); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return t.do(func() error {
		if err := write(dir, t.layout, t.encoder(ctx, t.layout)); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		return nil
	})
}

// WeightsSHA256 is the hash of the weights that Export would write: equal to
// safetensors.Set.SHA256 of the exported folder.
func (t *Trainer) WeightsSHA256(ctx context.Context) (sum string, err error) {
	err = t.do(func() (err error) {
		sum, err = t.layout.SHA256(t.encoder(ctx, t.layout))
		return err
	})
	return sum, err
}

// encoder returns each tensor of l as bytes of the dtype that l says; the
// buffer is used again by the next call.
func (t *Trainer) encoder(ctx context.Context, l safetensors.Layout) func(name string) ([]byte, error) {
	infos := make(map[string]safetensors.Info)
	for _, f := range l.Files {
		for _, info := range f.Tensors {
			infos[info.Name] = info
		}
	}
	params := t.net.byName()
	var buf []byte
	return func(name string) ([]byte, error) {
		p := params[name]
		if p == nil {
			return nil, fmt.Errorf("torch: no parameter %s", name)
		}
		var err error
		buf, err = t.encode(ctx, p.master, infos[name], buf)
		return buf, err
	}
}

// encode is one tensor in info's dtype, in buf where it fits.
func (t *Trainer) encode(ctx context.Context, x tensor, info safetensors.Info, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k, err := kindOf(info.DType)
	if err != nil {
		return nil, err
	}
	size, err := info.Size()
	if err != nil {
		return nil, err
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	s := newScope(t.counter)
	defer s.close()
	s.bytes(x, k, buf)
	return buf, s.err
}

func (n *network) byName() map[string]*parameter {
	m := make(map[string]*parameter, len(n.params))
	for _, p := range n.params {
		m[p.name] = p
	}
	if n.spec.TiedHead {
		m[model.HeadName] = n.embed // where a folder has the tied head twice
	}
	return m
}

// notCompanions are the endings of files of a model folder that are weights in
// some form, or ours about a state of training; everything else goes with the
// weights: config, tokenizer, templates, licence.
var notCompanions = []string{
	".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack",
	"COMPLETE", stateFile,
}

// copyCompanions copies what belongs to a model and is not weights from one
// folder to another. dtype, if there is one, replaces what config.json says.
func copyCompanions(from, to, dtype string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		st, err := os.Stat(filepath.Join(from, e.Name())) // follows the links of a hub cache
		if err != nil {
			return err
		}
		if !st.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") || anySuffix(e.Name(), notCompanions) {
			continue
		}
		edit := func(b []byte) ([]byte, error) { return b, nil }
		if e.Name() == "config.json" && dtype != "" {
			edit = func(b []byte) ([]byte, error) { return setDType(b, dtype) }
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), edit); err != nil {
			return err
		}
	}
	return nil
}

func anySuffix(name string, suffixes []string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// copyFile writes an edited copy of a file and syncs it.
func copyFile(from, to string, edit func([]byte) ([]byte, error)) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if b, err = edit(b); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return writeSynced(to, b)
}
