package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

const modelFile = "model.safetensors"

// inPlaceRig is an old server with a folder of its own.
func inPlaceRig(t *testing.T) (*rig, string) {
	t.Helper()
	root := exported(t, theta0)
	return newRigOf(t, bridgetest.Build{Version: "0.15.1", Root: root}, ""), root
}

func TestInPlaceKeepsWhatWasThere(t *testing.T) {
	r, root := inPlaceRig(t)
	for _, name := range []string{"model-00002-of-00002.safetensors", "config.json"} { // a shard too many, and no weights
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for v := range int64(2) {
		if err := r.publisher.Load(t.Context(), r.publish(t, v+1, theta0.Moved(0.1*float64(v+1)))); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := bridgetest.Load(root); err != nil || m.Theta != theta0.Moved(0.2).Theta || r.Model().Theta != m.Theta {
		t.Errorf("the folder has %v, %v; the server %v", m, err, r.Model())
	}
	if m, err := bridgetest.Load(filepath.Join(root, originalsName)); err != nil || m.Theta != theta0.Theta {
		t.Errorf("the originals are %v, %v", m, err)
	}
	var names []string
	for _, dir := range []string{root, filepath.Join(root, originalsName)} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	want := []string{lockName, originalsName, placedName, "config.json", modelFile, "model-00002-of-00002.safetensors", modelFile}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if was, err := readPlaced(root); err != nil || was == nil || !was.Whole || was.Version != 2 {
		t.Errorf("marker %+v, %v", was, err)
	}
}

// A trainer that died half-way leaves a folder of two versions, marked as such.
func TestInPlaceHealsAHalfReplacedFolder(t *testing.T) {
	r, root := inPlaceRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	if err := writePlaced(root, placed{Version: 2}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, modelFile), []byte("of two versions"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := r.newPublisher(t, "").Load(t.Context(), r.publish(t, 3, theta0.Moved(0.3))); err != nil {
		t.Fatal(err)
	}
	if was, err := readPlaced(root); err != nil || !was.Whole || r.Model().Theta != theta0.Moved(0.3).Theta {
		t.Errorf("marker %+v, %v; serves %v", was, err, r.Model())
	}
	if m, err := bridgetest.Load(filepath.Join(root, originalsName)); err != nil || m.Theta != theta0.Theta {
		t.Errorf("the originals are %v, %v", m, err)
	}
}

// While files are replaced, the marker says so: whoever stops there is found out.
func TestInPlaceIsMarkedMeanwhile(t *testing.T) {
	r, root := inPlaceRig(t)
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	w := &inPlace{p: r.publisher, root: root}
	if err := w.place(ctx, r.publish(t, 1, theta0.Moved(0.1))); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	if was, err := readPlaced(root); err != nil || was == nil || was.Whole || was.Version != 1 {
		t.Errorf("marker %+v, %v", was, err)
	}
}

func TestInPlaceGoesBack(t *testing.T) {
	r, root := inPlaceRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	r.Set(bridgetest.Faults{FailReloads: 2})
	err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
	if err == nil || !strings.Contains(err.Error(), "it has been put on version 1 and resumed") {
		t.Errorf("error: %v", err)
	}
	if m, err := bridgetest.Load(root); err != nil || m.Theta != theta0.Moved(0.1).Theta || r.Model().Theta != m.Theta || r.Paused() {
		t.Errorf("the folder has %v, %v; the server %v, paused %t", m, err, r.Model(), r.Paused())
	}
}

// Folders that are not there to be written to are left alone.
func TestInPlaceRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(t *testing.T, root string, o *Options)
		want string
	}{
		{"the run's own model", func(_ *testing.T, root string, o *Options) { o.Protect = root }, "the model that the run itself begins with"},
		{"a folder of the hub's cache", func(t *testing.T, root string, _ *Options) {
			blob := filepath.Join(t.TempDir(), "blob")
			if err := errors.Join(os.Rename(filepath.Join(root, modelFile), blob), os.Symlink(blob, filepath.Join(root, modelFile))); err != nil {
				t.Fatal(err)
			}
		}, "is a link into somebody's cache"},
		{"another model", func(t *testing.T, root string, _ *Options) {
			other := theta0
			other.Tensors = []bridge.Tensor{{Name: "embed", Shape: []int64{7}}}
			if err := other.Export(t.Context(), root); err != nil {
				t.Fatal(err)
			}
		}, "which is not the run's model"},
		{"a path of another machine", func(_ *testing.T, _ string, o *Options) { o.Root = "/nowhere/model" }, `was started with "/nowhere/model", which is no folder here`},
		{"a path that is not absolute", func(_ *testing.T, _ string, o *Options) { o.Root = "." }, "which is no folder here"},
		{"a damaged marker", func(t *testing.T, root string, _ *Options) {
			if err := os.WriteFile(filepath.Join(root, placedName), []byte("{"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "remove it if the folder's weights are whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, root := inPlaceRig(t)
			o := r.options("")
			c.set(t, root, &o)
			before, err := os.ReadDir(root)
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(r.endpoint(t), o)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			after, err := os.ReadDir(root)
			if err != nil || len(before) != len(after) || r.Model().Theta != theta0.Theta {
				t.Errorf("%d files became %d, %v; serves %v", len(before), len(after), err, r.Model())
			}
		})
	}
}

func FuzzReadPlaced(f *testing.F) {
	f.Add([]byte(`{"version":1,"weights_sha256":"a","whole":true}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, placedName), b, 0o666); err != nil {
			t.Fatal(err)
		}
		was, err := readPlaced(root)
		if (err == nil) != json.Valid(b) && err == nil || err == nil && was == nil {
			t.Errorf("%q: %+v, %v", b, was, err)
		}
	})
}

// Two servers of one folder: each reads the version that it is given, whatever the other is given meanwhile.
func TestInPlaceOfTwoServers(t *testing.T) {
	a, root := inPlaceRig(t)
	b := newRigOf(t, bridgetest.Build{Version: "0.15.1", Root: root}, "")
	var g errgroup.Group
	for i, r := range []*rig{a, b} {
		var snapshots []bridge.Snapshot
		var models []bridgetest.Model
		for v := range int64(10) {
			m := theta0.Moved(0.1 + 0.01*float64(v) + 0.5*float64(i))
			models, snapshots = append(models, m), append(snapshots, r.publish(t, v+1, m))
		}
		g.Go(func() error {
			for v, s := range snapshots {
				if err := r.publisher.Load(t.Context(), s); err != nil {
					return err
				}
				if r.Model().Theta != models[v].Theta {
					t.Errorf("server %d was given version %d, and serves something else", i, s.Version)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// A load waits for the folder no longer than it may take, and says for what it waited.
func TestInPlaceWaitsForTheFolder(t *testing.T) {
	r, root := inPlaceRig(t)
	s := r.publish(t, 1, theta0.Moved(0.1))
	unlock, err := lockFolder(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*lockPoll, why)
	defer cancel()
	if _, err := lockFolder(ctx, root); !errors.Is(err, why) || !strings.Contains(err.Error(), root+": another server is being loaded from this folder") {
		t.Errorf("error %v", err)
	}
	loaded := make(chan error, 1)
	go func() { loaded <- r.publisher.Load(t.Context(), s) }()
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-loaded; err != nil || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("%v; serves %v", err, r.Model())
	}
}
