package hub

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func model() Ref { return Ref{Kind: Model, ID: "org/name", Revision: "main"} }

func newFakeModel(t testing.TB) *fakeHub {
	f := newFakeHub(t)
	f.files["config.json"] = []byte(`{"vocab_size": 3}`)
	f.files["model.safetensors"], f.lfs["model.safetensors"] = bytesOf(100_000), true
	f.files["pytorch_model.bin"], f.lfs["pytorch_model.bin"] = bytesOf(70_000), true
	f.files["onnx/model.onnx"], f.lfs["onnx/model.onnx"] = bytesOf(60_000), true
	return f
}

func noBins(path string) bool {
	return !strings.HasSuffix(path, ".bin") && !strings.HasPrefix(path, "onnx/")
}

func TestSnapshot(t *testing.T) {
	f := newFakeModel(t)
	c := f.client(t, Options{})
	s, err := c.Snapshot(t.Context(), model(), noBins)
	if err != nil {
		t.Fatal(err)
	}
	want := []File{{"config.json", 17}, {"model.safetensors", 100_000}}
	if d := cmp.Diff(want, s.Files); d != "" || s.Commit != testCommit {
		t.Errorf("commit %s, files (-want +got)\n%s", s.Commit, d)
	}
	for _, file := range s.Files {
		wantFile(t, filepath.Join(s.Dir, file.Path), f.files[file.Path])
	}
	if len(f.requests("pytorch_model.bin"))+len(f.requests("onnx")) != 0 {
		t.Error("asked for what nobody wanted")
	}
	// The list is kept as huggingface_hub keeps it.
	var kept map[string]any
	b, err := os.ReadFile(filepath.Join(c.repo(model()), "trees", testCommit+".json"))
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	entry, _ := kept["files"].(map[string]any)["model.safetensors"].(map[string]any)
	if err != nil || kept["format_version"] != 1.0 || entry["lfs_sha256"] != sha256Of(f.files["model.safetensors"]) || entry["size"] != 100_000.0 {
		t.Errorf("trees/%s.json is %s, %v", testCommit, b, err)
	}

	// Offline it is complete for the one who wants no more, and for nobody else.
	f.forget()
	off := f.client(t, Options{Cache: c.o.Cache, Offline: true})
	again, err := off.Snapshot(t.Context(), model(), noBins)
	if d := cmp.Diff(s, again); err != nil || d != "" {
		t.Errorf("offline: %v (-want +got)\n%s", err, d)
	}
	_, err = off.Snapshot(t.Context(), model(), nil)
	wantOneLine(t, err, "onnx/model.onnx of org/name", "HF_HUB_OFFLINE")
	if _, files, err := off.List(t.Context(), model()); err != nil || len(files) != 4 {
		t.Errorf("the list offline: %v, %v", files, err)
	}
	other := model()
	other.Revision = "v2"
	_, err = off.Snapshot(t.Context(), other, nil)
	wantOneLine(t, err, "org/name@v2", "HF_HUB_OFFLINE")
	_, _, err = off.List(t.Context(), other)
	wantOneLine(t, err, "org/name@v2", "HF_HUB_OFFLINE")
	if got := f.requests(); len(got) != 0 {
		t.Errorf("offline, but sent %q", got)
	}

	// A hub that ails does not stop what is complete.
	f.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(502); return true })
	if again, err := c.Snapshot(t.Context(), model(), noBins); err != nil || again.Dir != s.Dir {
		t.Errorf("502: %v", err)
	}
	if _, err := c.Snapshot(t.Context(), model(), nil); err == nil {
		t.Error("502, and files are missing, but no error")
	}
}

// A cache that an older huggingface_hub filled has no lists of files.
func TestSnapshotOfflineWithoutAList(t *testing.T) {
	f := newFakeModel(t)
	c := f.client(t, Options{})
	s, err := c.Snapshot(t.Context(), model(), noBins)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.repo(model()), "trees")); err != nil {
		t.Fatal(err)
	}
	off := f.client(t, Options{Cache: c.o.Cache, Offline: true})
	again, err := off.Snapshot(t.Context(), model(), nil)
	if d := cmp.Diff(s.Files, again.Files); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

func TestSnapshotErrors(t *testing.T) {
	list := func(body, kind string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	commit := `"sha":"` + testCommit + `"`
	for _, tc := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  []string
	}{
		{"a page", list("<html>\n</html>", "text/html"), []string{"a web page, not a list of files", "HF_ENDPOINT"}},
		{"not JSON", list("oops", "application/json"), []string{"is no list of files"}},
		{"no commit", list(`{"siblings":[{"rfilename":"a"}]}`, "application/json"), []string{"names no commit"}},
		{"no files", list(`{`+commit+`,"siblings":[]}`, "application/json"), []string{"has no file of the kind that is wanted"}},
		{"a path out of the cache", list(`{`+commit+`,"siblings":[{"rfilename":"../../../../.ssh/authorized_keys"}]}`, "application/json"), []string{`"../../../../.ssh/authorized_keys"`, "no path in a repository"}},
		{"a path that rewrites the terminal", list(`{`+commit+`,"siblings":[{"rfilename":"a\u001b[2Kb"}]}`, "application/json"), []string{`"a\x1b[2Kb"`, "no path in a repository"}},
		{"a path of two lines", list(`{`+commit+`,"siblings":[{"rfilename":"a\nb"}]}`, "application/json"), []string{"no path in a repository"}},
		{"an absolute path", list(`{`+commit+`,"siblings":[{"rfilename":"/etc/passwd"}]}`, "application/json"), []string{"no path in a repository"}},
		{"a file that the hub lists and has not", func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/api/") && list(`{`+commit+`,"siblings":[{"rfilename":"gone.bin"}]}`, "application/json")(w, r)
		}, []string{"org/name@" + testCommit + "/gone.bin", "404", "no such file"}},
		{"another commit's file", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.Header().Set("X-Repo-Commit", strings.Repeat("a", 40))
				w.Header().Set("ETag", `"`+gitSHA1Of(nil)+`"`)
				return true
			}
			return false
		}, []string{"is of commit aaaa", "asked for was " + testCommit}},
		{"404", func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(404); return true }, []string{"org/name", "404", "--type"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeModel(t)
			f.setFault(tc.fault)
			c := f.client(t, Options{Parallel: 1})
			_, err := c.Snapshot(t.Context(), model(), nil)
			wantOneLine(t, err, tc.want...)
			if c.commit(model()) != "" {
				t.Error("refs/main names a snapshot that is not whole")
			}
		})
	}
}
