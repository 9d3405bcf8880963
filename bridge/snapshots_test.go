package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/atomicdir"
)

func newSnapshots(t *testing.T, keep int) *bridge.Snapshots {
	t.Helper()
	return &bridge.Snapshots{
		Root: filepath.Join(t.TempDir(), "made", "if need be"), Exporter: theta0,
		Inspector: bridgetest.Inspector{}, Want: bridgetest.Tensors(), Keep: keep,
	}
}

func publish(t *testing.T, s *bridge.Snapshots, versions ...int64) (last bridge.Snapshot) {
	t.Helper()
	for _, v := range versions {
		var err error
		if last, err = s.Publish(t.Context(), v, int(v)); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// folder writes a folder by hand, with empty files of these names.
func folder(t *testing.T, root, name string, files ...string) {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// wantFolders fails unless these and nothing else, hidden things included, are in root.
func wantFolders(t *testing.T, root string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in %s (-want +got):\n%s", root, diff)
	}
}

func TestPublishWritesAWholeFolder(t *testing.T) {
	s := newSnapshots(t, 0)
	t.Chdir(t.TempDir())
	s.Root = "relative" // servers have another working directory
	got, err := s.Publish(t.Context(), 12, 34)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := bridgetest.Inspector{}.SHA256(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	want := bridge.Snapshot{Dir: got.Dir, Version: 12, Step: 34, SHA256: sum}
	if got != want || !filepath.IsAbs(got.Dir) || sum == "" {
		t.Errorf("published %+v, want %+v", got, want)
	}
	if err := atomicdir.Verify(got.Dir); err != nil {
		t.Error(err)
	}
	m, err := atomicdir.Read(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != 12 || m.Step != 34 || m.Extra["weights_sha256"] != sum || len(m.Files) != 1 {
		t.Errorf("marker %+v", m)
	}
	if served, err := bridgetest.Load(got.Dir); err != nil || served.Theta != theta0.Theta {
		t.Errorf("the folder holds %v, %v", served, err)
	}
	if opened, err := bridge.Open("relative/version-000012"); err != nil || opened != got {
		t.Errorf("opened %+v, %v; published %+v", opened, err, got)
	}
}

// A snapshot that is not right must never be seen under its name.
func TestPublishRefuses(t *testing.T) {
	with := func(tensors []bridge.Tensor) bridgetest.Model {
		return bridgetest.Model{Theta: theta0.Theta, Tensors: tensors}
	}
	for _, c := range []struct {
		name  string
		spoil func(*bridge.Snapshots)
		is    error // what the error wraps; nil: anything
		want  string
		none  bool // not even the root is made
	}{
		{"the exporter fails half-way", func(s *bridge.Snapshots) {
			s.Exporter = exporter(func(ctx context.Context, dir string) error {
				return errors.Join(theta0.Export(ctx, dir), errTrainer)
			})
		}, errTrainer, "the trainer is broken", false},
		{"the exporter writes nothing", func(s *bridge.Snapshots) {
			s.Exporter = exporter(func(context.Context, string) error { return nil })
		}, fs.ErrNotExist, "model.safetensors", false},
		{"a tensor is missing", func(s *bridge.Snapshots) { s.Exporter = with(bridgetest.Tensors()[:1]) },
			bridge.ErrTensors, "norm is missing", false},
		{"another dtype", func(s *bridge.Snapshots) { s.Want[0].DType = "BF16" }, bridge.ErrTensors, "embed is F32, want BF16", false},
		{"the hash cannot be told", func(s *bridge.Snapshots) { s.Inspector = unhashable{} }, errUnreadable, "cannot read it again", false},
		{"nothing to go back to", func(s *bridge.Snapshots) { s.Keep = 1 }, nil, "Keep is 1: want 0 (all) or at least 2", true},
		{"a negative number to keep", func(s *bridge.Snapshots) { s.Keep = -2 }, nil, "Keep is -2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSnapshots(t, 2)
			c.spoil(s)
			got, err := s.Publish(t.Context(), 7, 7)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "version 7") || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want version 7 and %q (%v)", err, c.want, c.is)
			}
			if got != (bridge.Snapshot{}) {
				t.Errorf("returned %+v", got)
			}
			if _, err := os.Stat(s.Root); c.none && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the root: %v", err)
			} else if !c.none {
				wantFolders(t, s.Root)
			}
		})
	}
}

type exporter func(context.Context, string) error

func (e exporter) Export(ctx context.Context, dir string) error { return e(ctx, dir) }

var (
	errTrainer    = errors.New("the trainer is broken")
	errUnreadable = errors.New("cannot read it again")
)

type unhashable struct{ bridgetest.Inspector }

func (unhashable) SHA256(string) (string, error) { return "", errUnreadable }

// hashing exports and says what it has hashed.
type hashing struct {
	bridge.Exporter
	files   map[string]string
	weights string
	err     error
}

func (h hashing) ExportHashed(ctx context.Context, dir string) (map[string]string, string, error) {
	return h.files, h.weights, errors.Join(h.Export(ctx, dir), h.err)
}

// What an exporter has hashed is not read again, and goes into the marker.
func TestPublishTakesAnExportersHashes(t *testing.T) {
	plain := publish(t, newSnapshots(t, 0), 1)
	want, err := atomicdir.Read(plain.Dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newSnapshots(t, 0)
	s.Inspector = unhashable{}
	s.Exporter = hashing{theta0, want.Files, plain.SHA256, nil}
	got := publish(t, s, 1)
	if m, err := atomicdir.Read(got.Dir); err != nil || !cmp.Equal(m, want) || got.SHA256 != plain.SHA256 {
		t.Errorf("hashed by its exporter %+v (%v), read again %+v", m, err, want)
	}
	if err := atomicdir.Verify(got.Dir); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		exporter hashing
		want     string
	}{
		"its error":                   {hashing{theta0, want.Files, plain.SHA256, errTrainer}, "the trainer is broken"},
		"a file that is not there":    {hashing{theta0, map[string]string{"other": want.Files["model.safetensors"]}, plain.SHA256, nil}, "other was hashed and is not there"},
		"no hash of a file":           {hashing{theta0, map[string]string{"model.safetensors": "abc"}, plain.SHA256, nil}, "no SHA-256"},
		"no hash of the weights":      {hashing{theta0, want.Files, "", nil}, "no hash of the weights"},
		"tensors that are not Want's": {hashing{bridgetest.Model{Theta: theta0.Theta, Tensors: bridgetest.Tensors()[:1]}, want.Files, plain.SHA256, nil}, "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Exporter = c.exporter
			if got, err := s.Publish(t.Context(), 2, 2); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %q", got, err, c.want)
			}
			wantFolders(t, s.Root, "version-000001")
		})
	}
}

// A version is never reused: what is there stays as it is, complete or not ours.
func TestPublishOverSomething(t *testing.T) {
	s := newSnapshots(t, 0)
	first := publish(t, s, 3)
	s.Exporter = theta0.Moved(1)
	if _, err := s.Publish(t.Context(), 3, 9); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a version that is there: %v, want fs.ErrExist", err)
	}
	if again, err := bridge.Open(first.Dir); err != nil || again != first {
		t.Errorf("it is now %+v, %v", again, err)
	}
	folder(t, s.Root, "version-000004", "notes.txt")
	if _, err := s.Publish(t.Context(), 4, 4); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a folder of somebody else: %v, want fs.ErrExist", err)
	}
	folder(t, s.Root, "version-000005", "COMPLETE.pending", "half")
	publish(t, s, 5) // over what a crash has left
	wantFolders(t, s.Root, "version-000003", "version-000004", "version-000005")
	wantFolders(t, filepath.Join(s.Root, "version-000004"), "notes.txt")
}

// A process that is killed in an export leaves gigabytes, under a version that never comes again.
func TestPublishSweepsWhatWasKilled(t *testing.T) {
	const dead = ".version-000001.tmp-abcdefgh27"
	s := newSnapshots(t, 0)
	folder(t, s.Root, dead, "half")
	other := *s
	other.Exporter = exporter(func(ctx context.Context, dir string) error {
		folder(t, s.Root, dead, "half")
		publish(t, s, 3) // while this export is under way
		wantFolders(t, s.Root, filepath.Base(dir), "version-000003")
		return theta0.Export(ctx, dir)
	})
	publish(t, &other, 2)
	wantFolders(t, s.Root, "version-000002", "version-000003")
}

func TestPublishKeeps(t *testing.T) {
	v := func(versions ...int) (out []string) {
		for _, x := range versions {
			out = append(out, fmt.Sprintf("version-%06d", x))
		}
		return out
	}
	for _, c := range []struct {
		name    string
		keep    int
		before  []int64             // published first, all kept
		there   map[string][]string // folders made by hand, and their files
		publish int64
		want    []string
	}{
		{"all", 0, []int64{1, 2, 3}, nil, 4, v(1, 2, 3, 4)},
		{"two", 2, []int64{1, 2, 3}, nil, 4, v(3, 4)},
		{"three", 3, []int64{1, 2, 3}, nil, 4, v(2, 3, 4)},
		{"fewer than that are there", 3, []int64{1}, nil, 2, v(1, 2)},
		{"by number, not by name", 2, []int64{999_999, 1_000_000}, nil, 1_000_001, v(1_000_000, 1_000_001)},
		{"gaps in the numbers do not count", 2, []int64{1, 10}, nil, 100, v(10, 100)},
		{"incomplete ones do not count, and newer ones than a kept one stay: another process may be at it", 2, []int64{1, 2},
			map[string][]string{"version-000003": {"COMPLETE.pending"}}, 4, v(2, 3, 4)},
		{"older leftovers of a crash go", 2, []int64{2, 3},
			map[string][]string{"version-000001": {"COMPLETE.pending", "half"}}, 4, v(3, 4)},
		{"newer ones, of another run, neither count nor go", 2, []int64{1, 2, 3, 8, 9}, nil, 4, v(3, 4, 8, 9)},
		{"folders without our marker are not ours", 2, []int64{2, 3},
			map[string][]string{"version-000001": {"thesis.tex"}, "version-x": nil, "old": {"COMPLETE"}}, 4,
			append([]string{"old", "version-000001"}, append(v(3, 4), "version-x")...)},
		{"another spelling of a number counts for nothing", 2, []int64{3},
			map[string][]string{"version-0000003": {"COMPLETE"}, "version-+00002": {"COMPLETE"}}, 4,
			[]string{"version-+00002", "version-000003", "version-0000003", "version-000004"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSnapshots(t, 0)
			publish(t, s, c.before...)
			for name, files := range c.there {
				folder(t, s.Root, name, files...)
			}
			s.Keep = c.keep
			publish(t, s, c.publish)
			wantFolders(t, s.Root, slices.Sorted(slices.Values(c.want))...)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	marked := func(m atomicdir.Marker) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if _, err := atomicdir.Create(dir, m, func(tmp string) error { return theta0.Export(t.Context(), tmp) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		is   error
		want string
	}{
		{"nothing there", func(*testing.T, string) {}, atomicdir.ErrIncomplete, ""},
		{"never finished", func(t *testing.T, dir string) { folder(t, dir, ".", "model.safetensors", "COMPLETE.pending") }, atomicdir.ErrIncomplete, ""},
		{"a checkpoint: complete, but no hash of its weights", marked(atomicdir.Marker{Version: 1}), nil, "its marker has no weights_sha256: not a snapshot"},
		{"an empty hash would equal another empty one", marked(atomicdir.Marker{Version: 1, Extra: map[string]string{"weights_sha256": ""}}), nil, "has no weights_sha256"},
		{"a damaged marker", func(t *testing.T, dir string) { folder(t, dir, ".", "COMPLETE") }, nil, "damaged marker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "version-000001")
			c.make(t, dir)
			got, err := bridge.Open(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q (%v) and the folder", err, c.want, c.is)
			}
			if got != (bridge.Snapshot{}) {
				t.Errorf("returned %+v", got)
			}
		})
	}
}
