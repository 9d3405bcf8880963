package hub

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python is one with huggingface_hub: JUSTRL_PYTHON, else python3.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("JUSTRL_PYTHON"), "python3"} {
		if name != "" && exec.CommandContext(t.Context(), name, "-c", "import huggingface_hub").Run() == nil {
			return name
		}
	}
	t.Skip("SKIPPED: neither JUSTRL_PYTHON nor python3 is a Python with huggingface_hub (pip install huggingface_hub)")
	return ""
}

// runPython runs a script of huggingface_hub on a cache, with the fake as its hub.
func (f *fakeHub) runPython(t *testing.T, cache string, offline bool, script string) string {
	t.Helper()
	_ = f.requests() // locks, as requests do before they read what the test has set
	cmd := exec.CommandContext(t.Context(), python(t), "-c", script)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+f.hub.URL, "HF_HUB_CACHE="+cache, "HF_HOME="+t.TempDir(), "HF_TOKEN=", "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	if offline {
		cmd.Env = append(cmd.Env, "HF_HUB_OFFLINE=1")
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// What we fetch, huggingface_hub finds, offline, and has no complaint about.
func TestPythonFindsOurs(t *testing.T) {
	python(t)
	f := newFakeModel(t)
	f.files["sub/dir/notes.txt"] = []byte("deep")
	c := f.client(t, Options{})
	s, err := c.Snapshot(t.Context(), model(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.forget()
	out := f.runPython(t, c.o.Cache, true, `
import os
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir
print(snapshot_download("org/name"))
for name in ("config.json", "model.safetensors", "sub/dir/notes.txt"):
    print(hf_hub_download("org/name", name))
info = scan_cache_dir(os.environ["HF_HUB_CACHE"])
repo, = info.repos
revision, = repo.revisions
print(len(info.warnings), repo.repo_id, repo.repo_type, repo.nb_files, revision.commit_hash, ",".join(revision.refs))
`)
	want := strings.Join([]string{
		s.Dir, filepath.Join(s.Dir, "config.json"), filepath.Join(s.Dir, "model.safetensors"), filepath.Join(s.Dir, "sub/dir/notes.txt"),
		"0 org/name model 5 " + testCommit + " main",
	}, "\n")
	if out != want {
		t.Errorf("huggingface_hub says\n%s\nwant\n%s", out, want)
	}
	if got := f.requests(); len(got) != 0 {
		t.Errorf("it asked %q", got)
	}
}

// What huggingface_hub fetches, we find, offline.
func TestWeFindPythons(t *testing.T) {
	python(t)
	f := newFakeHub(t)
	f.files["README.md"], f.files["data/rows.parquet"] = []byte("hello"), bytesOf(300_000)
	f.lfs["data/rows.parquet"] = true
	cache := t.TempDir()
	out := f.runPython(t, cache, false, `
from huggingface_hub import hf_hub_download
for name in ("README.md", "data/rows.parquet"):
    print(hf_hub_download("org/name", name, repo_type="dataset"))
`)
	f.forget()
	c := f.client(t, Options{Cache: cache, Offline: true})
	var paths []string
	for _, name := range []string{"README.md", "data/rows.parquet"} {
		path, err := c.File(t.Context(), ref(name))
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, f.files[name])
		paths = append(paths, path)
	}
	if got := strings.Join(paths, "\n"); got != out {
		t.Errorf("we have\n%s\nhuggingface_hub has\n%s", got, out)
	}
	if _, files, err := c.Check(t.Context(), ref("")); err != nil || len(files) != 2 || files[0].Err != nil || files[1].Err != nil {
		t.Errorf("%+v, %v", files, err)
	}
	if s, err := c.Snapshot(t.Context(), ref(""), nil); err != nil || len(s.Files) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := f.requests(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
}

// While huggingface_hub fetches a file, we wait for it, and then have it.
func TestLockIsPythons(t *testing.T) {
	python(t)
	f := newFakeHub(t)
	body := bytesOf(300_000)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	c := f.client(t, Options{})
	dir := filepath.Join(c.o.Cache, ".locks", ref("").folder())
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python(t), "-c", `
import sys
from huggingface_hub.utils import WeakFileLock
with WeakFileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
    print("released", flush=True)
`, filepath.Join(dir, sha256Of(body)+".lock"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	waited := 0
	c.o.Notice = func(s string) {
		if waited++; len(f.requests("GET")) != 0 || !strings.Contains(s, "waiting for another process") {
			t.Errorf("while Python has the lock: %q, after %q", s, f.requests("GET"))
		}
		_, _ = in.Write([]byte("\n")) // let go
	}
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, body)
	if err := cmd.Wait(); err != nil || waited != 1 {
		t.Errorf("%v, waited %d times", err, waited)
	}
}
