package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Nothing leads out of the folder, whatever was put into it.
func TestLinksAreRefused(t *testing.T) {
	for name, plant := range map[string]func(dir, elsewhere string) error{
		"in a run's place": func(dir, e string) error { return os.Symlink(e, filepath.Join(dir, "run-run1")) },
		"in a version's place": func(dir, e string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "run-run1"), 0o755), os.Symlink(e, filepath.Join(dir, "run-run1", "version-000007")))
		},
		"in the lock's place": func(dir, e string) error { return os.Symlink(filepath.Join(e, "new"), filepath.Join(dir, lockName)) },
		"in a part's place": func(dir, e string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, pullFiles), 0o755), os.Symlink(filepath.Join(e, "precious"), filepath.Join(dir, pullFiles, "model.safetensors")))
		},
		"of a part's folder": func(dir, e string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, pullFiles), 0o755), os.Symlink(e, filepath.Join(dir, pullFiles, "sub")))
		},
		"in the pull's place": func(dir, e string) error { return os.Symlink(e, filepath.Join(dir, pullName)) },
	} {
		t.Run(name, func(t *testing.T) {
			elsewhere, dir := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(elsewhere, "precious"), []byte("1"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := plant(dir, elsewhere); err != nil {
				t.Fatal(err)
			}
			tr := newTrainer(t, chunk)
			s := tr.publish(t, 7, blobs{"model.safetensors": random(2*chunk, 1), "sub/precious": []byte("2")})
			f, err := openFolder(dir)
			if err == nil {
				p := &puller{trainer: dial(t, serve(t, tr.share), nil), folder: f, stall: 1 << 40, retry: quick}
				if strings.Contains(name, "part") { // of a pull that is gone on with
					_, raw, err := p.manifest(t.Context(), asked(s))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, pullManifest), raw, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				_, err = p.pull(t.Context(), asked(s), &counts{})
				if e := f.close(); e != nil {
					t.Error(e)
				}
			}
			if err == nil && name != "in the pull's place" { // which is removed, as a link
				t.Error("a snapshot went through the link")
			}
			if d := cmp.Diff(map[string]string{filepath.Join(elsewhere, "precious"): "1"}, content(t, elsewhere)); d != "" {
				t.Errorf("elsewhere (-want +got):\n%s", d)
			}
		})
	}
}

func TestOneAgentAFolder(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(dir); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second one: %v", err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	f, err = openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// Snapshots are bounded; the one that is loaded stays, and what is not ours too.
func TestPrune(t *testing.T) {
	tr := newTrainer(t, chunk)
	p := newPuller(t, serve(t, tr.share), t.TempDir())
	if err := os.MkdirAll(filepath.Join(p.folder.dir, "run-run1", "version-000000", "theirs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for v := range int64(5) {
		if _, err := p.pull(t.Context(), asked(tr.publish(t, v+1, blobs{"model.safetensors": random(chunk, uint64(v))})), &counts{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.folder.prune(2, place("run1", 2)); err != nil {
		t.Fatal(err)
	}
	got, err := p.folder.complete()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"run-run1/version-000005", "run-run1/version-000002"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Join(p.folder.dir, "run-run1"))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if d := cmp.Diff([]string{"version-000000", "version-000002", "version-000002.json", "version-000005", "version-000005.json"}, names); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}
