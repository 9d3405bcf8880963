//go:build torch

package torch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/justrl/justrl/updater/safetensors"
)

const (
	stateFile     = "state.json"
	optimizerFile = "optimizer.safetensors"
	stateFormat   = 1
)

// state is state.json: what is not a tensor.
type state struct {
	Format  int   `json:"format"`  // of the two files
	Updates int64 `json:"updates"` // optimizer updates since the moments were zero
}

// part is one of the tensors that are kept for each parameter.
type part struct {
	prefix string
	at     func(*parameter) *tensor
}

// parts are the tensors of optimizer.safetensors, float32 all: the weights as
// AdamW moves them, and its moments. Moments are absent before the first update.
var parts = []part{
	{"master.", func(p *parameter) *tensor { return &p.master }},
	{"exp_avg.", func(p *parameter) *tensor { return &p.m }},
	{"exp_avg_sq.", func(p *parameter) *tensor { return &p.v }},
}

// SaveState implements updater.Updater: optimizer.safetensors and, last, state.json.
func (t *Trainer) SaveState(ctx context.Context, dir string) error {
	err := t.do(func() error {
		var infos []safetensors.Info
		tensors := make(map[string]tensor)
		for _, p := range t.net.params {
			for _, part := range parts {
				if x := *part.at(p); x.ok() && (t.updates > 0 || part.prefix == parts[0].prefix) {
					name := part.prefix + p.name
					infos = append(infos, safetensors.Info{Name: name, DType: "F32", Shape: p.shape})
					tensors[name] = x
				}
			}
		}
		var buf []byte
		err := safetensors.WriteFile(filepath.Join(dir, optimizerFile), infos, nil, func(name string) (_ []byte, err error) {
			info := safetensors.Info{Name: name, DType: "F32", Shape: tensors[name].shape()}
			buf, err = t.encode(ctx, tensors[name], info, buf)
			return buf, err
		})
		if err != nil {
			return err
		}
		b, err := json.Marshal(state{Format: stateFormat, Updates: t.updates})
		if err != nil {
			return err
		}
		return writeSynced(filepath.Join(dir, stateFile), append(b, '\n'))
	})
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// LoadState implements updater.Updater. On an error nothing has changed.
func (t *Trainer) LoadState(ctx context.Context, dir string) error {
	err := t.do(func() (err error) {
		st, err := readState(filepath.Join(dir, stateFile))
		if err != nil {
			return err
		}
		set, err := safetensors.OpenFile(filepath.Join(dir, optimizerFile))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, set.Close()) }()
		if err := t.checkState(set, st); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, optimizerFile), err)
		}
		return t.restore(ctx, set, st)
	})
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	return nil
}

func readState(path string) (state, error) {
	var st state
	b, err := os.ReadFile(path)
	if err != nil {
		return st, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		return st, fmt.Errorf("%s: %w", path, err)
	}
	if st.Format != stateFormat {
		return st, fmt.Errorf("%s: format %d; this program reads %d", path, st.Format, stateFormat)
	}
	if st.Updates < 0 {
		return st, fmt.Errorf("%s: %d updates", path, st.Updates)
	}
	return st, nil
}

// checkState says whether set is the state of this model after st.Updates.
func (t *Trainer) checkState(set *safetensors.Set, st state) error {
	want := make(map[string]bool)
	for _, p := range t.net.params {
		for _, part := range t.present(st) {
			name := part.prefix + p.name
			want[name] = true
			info, ok := set.Info(name)
			if !ok {
				return fmt.Errorf("it has no tensor %s", name)
			}
			if info.DType != "F32" || fmt.Sprint(info.Shape) != fmt.Sprint(p.shape) {
				return fmt.Errorf("tensor %s is %s %v, wanted F32 %v", name, info.DType, info.Shape, p.shape)
			}
		}
	}
	for _, name := range set.Names() {
		if !want[name] {
			return fmt.Errorf("it has a tensor %s that this model after %d updates has not", name, st.Updates)
		}
	}
	return nil
}

// present are the parts that exist after st.Updates.
func (t *Trainer) present(st state) []part {
	if st.Updates == 0 {
		return parts[:1]
	}
	return parts
}

// restore copies a checked set in: all new tensors first, then all at once.
func (t *Trainer) restore(ctx context.Context, set *safetensors.Set, st state) error {
	s := newScope(t.counter)
	defer s.close()
	fresh := make(map[string]tensor)
	for _, p := range t.net.params {
		for _, part := range t.present(st) {
			if err := ctx.Err(); err != nil {
				return err
			}
			name := part.prefix + p.name
			data, err := set.Bytes(name)
			if err != nil {
				return err
			}
			fresh[name] = s.from(unsafe.Pointer(unsafe.SliceData(data)), p.shape, kindFloat32, t.net.device, kindFloat32)
		}
	}
	if s.err != nil {
		return s.err
	}
	for _, p := range t.net.params {
		s.copyTo(p.master, fresh["master."+p.name])
		if p.value != p.master {
			s.copyTo(p.value, p.master)
		}
		for _, part := range parts[1:] {
			at := part.at(p)
			t.counter.free(*at)
			*at = s.keep(fresh[part.prefix+p.name])
		}
	}
	t.updates = st.Updates
	return s.err
}

func writeSynced(path string, b []byte) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}
