package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/benchmarks/sets"
)

const hubCommit = "89abcdef0123456789abcdef0123456789abcdef"

// webHub is a hub with the repository org/name, and the origin of the sets.
type webHub struct {
	*httptest.Server
	files map[string]string // all of them as LFS has it, by SHA-256
	sets  map[string][]byte // by name

	mu    sync.Mutex
	asked []string
}

// newWebHub serves files, and points the environment at itself and at caches of its own.
func newWebHub(t *testing.T, files map[string]string) *webHub {
	t.Helper()
	h := &webHub{files: files, sets: map[string][]byte{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_TOKEN", "")
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(sets.OriginEnv, h.URL+"/origin")
	return h
}

func (h *webHub) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path)
	h.mu.Unlock()
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/origin/data/"); ok {
		b, ok := h.sets[strings.TrimSuffix(rest, "/test.parquet")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		return
	}
	if strings.HasPrefix(path, "/api/") && strings.Contains(path, "/org/name/revision/") {
		var siblings []map[string]any
		for name, body := range h.files {
			siblings = append(siblings, map[string]any{"rfilename": name, "size": len(body), "blobId": strings.Repeat("b", 40)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": hubCommit, "siblings": siblings})
		return
	}
	_, rest, ok := strings.Cut(path, "/org/name/resolve/")
	_, name, _ := strings.Cut(rest, "/")
	body, there := h.files[name]
	if !ok || !there {
		w.Header().Set("X-Error-Message", "Repository not found")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	sum := sha256.Sum256([]byte(body))
	w.Header().Set("X-Repo-Commit", hubCommit)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
}

// requests is how many there were whose line has the word.
func (h *webHub) requests(word string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.asked {
		if strings.Contains(line, word) {
			n++
		}
	}
	return n
}

// objects decodes JSON Lines.
func objects(t *testing.T, text string) (out []found) {
	t.Helper()
	for line := range strings.Lines(text) {
		var f found
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, f)
	}
	return out
}

func TestDataFetchOfTheHub(t *testing.T) {
	h := newWebHub(t, map[string]string{
		"config.json": "{}", "model.safetensors": strings.Repeat("w", 5000), "pytorch_model.bin": strings.Repeat("b", 5000), "README.md": "hello", "data/a.jsonl": "{}\n",
	})
	for _, tc := range []struct {
		name   string
		args   []string
		status string
		files  int
		bytes  int64
		path   string // its end
	}{
		{"a model", []string{"org/name", "--type", "model", "--json"}, "fetched", 2, 5002, "models--org--name/snapshots/" + hubCommit},
		{"again", []string{"org/name", "--type", "model", "--json"}, "there", 2, 5002, "models--org--name/snapshots/" + hubCommit},
		{"its other files", []string{"--json", "--type", "model", "--include", "*.bin", "--include", "data/*", "org/name"}, "fetched", 2, 5003, "models--org--name/snapshots/" + hubCommit},
		{"one file", []string{"org/name/data/a.jsonl", "--json"}, "fetched", 1, 3, "datasets--org--name/snapshots/" + hubCommit + "/data/a.jsonl"},
		{"a data set at a tag", []string{"org/name", "--revision", "v1/x", "--json"}, "fetched", 5, 10010, "datasets--org--name/snapshots/" + hubCommit},
		{"the same by its address", []string{"hf://datasets/org/name@v1%2Fx", "--json"}, "there", 5, 10010, "datasets--org--name/snapshots/" + hubCommit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := run(t, append([]string{"data", "fetch"}, tc.args...)...)
			if code != ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			got := objects(t, stdout)
			if len(got) != 1 || got[0].Status != tc.status || got[0].Files != tc.files || got[0].Bytes != tc.bytes || !strings.HasSuffix(got[0].Path, tc.path) {
				t.Errorf("%+v", got)
			}
			if _, err := os.Stat(got[0].Path); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(os.Getenv("HF_HUB_CACHE"), "datasets--org--name", "refs", "v1", "x")); err != nil {
		t.Error(err)
	}

	code, stdout, stderr := run(t, "data", "verify", "org/name", "--type", "model", "--json")
	if got := objects(t, stdout); code != ExitOK || len(got) != 1 || got[0].Status != "ok" || got[0].Files != 4 {
		t.Errorf("verify: code %d, %+v, %s", code, got, stderr)
	}
	weights := filepath.Join(os.Getenv("HF_HUB_CACHE"), "models--org--name", "snapshots", hubCommit, "model.safetensors")
	if err := os.WriteFile(weights, []byte(strings.Repeat("x", 5000)), 0o666); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = run(t, "data", "verify", "org/name", "--type", "model")
	if code != ExitFailed || !strings.Contains(stdout, "differs") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "SHA-256") {
		t.Errorf("verify of a damaged one: code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr = run(t, "data", "verify", "org/other"); code != ExitFailed || !strings.Contains(stderr, "has not been fetched") {
		t.Errorf("verify of what is not there: code %d, %s", code, stderr)
	}

	code, stdout, stderr = run(t, "data", "fetch", "org/name", "org/other")
	if code != ExitServer || strings.Count(stdout, "org/name") != 1 || !strings.Contains(stderr, "org/other: ") || !strings.Contains(stderr, "404: Repository not found: check the id and --type") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	asked := h.requests("")
	if code, _, stderr = run(t, "data", "fetch", "org/name"); code != ExitOK {
		t.Errorf("offline: code %d, %s", code, stderr)
	}
	code, _, stderr = run(t, "data", "fetch", "org/other")
	if code != ExitFailed || !strings.Contains(stderr, "org/other is not in the cache") || !strings.Contains(stderr, "HF_HUB_OFFLINE") {
		t.Errorf("offline: code %d, %s", code, stderr)
	}
	if h.requests("") != asked {
		t.Error("offline, but something was sent")
	}
	t.Setenv("HF_HUB_OFFLINE", "perhaps")
	if code, _, stderr = run(t, "data", "fetch", "org/other"); code != ExitUsage || !strings.Contains(stderr, "HF_HUB_OFFLINE must be 1 or 0") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

// The sets' checksums are of files that the project does not have: without them
// what is left to test is that nothing else is taken for them.
func TestDataFetchOfSets(t *testing.T) {
	h := newWebHub(t, nil)
	code, stdout, stderr := run(t, "data", "fetch", "AIME24")
	if code != ExitServer || stdout != "" || !strings.Contains(stderr, "AIME24: GET "+h.URL+"/origin/data/AIME24/test.parquet: 404") || !strings.Contains(stderr, sets.OriginEnv) {
		t.Errorf("missing at the origin: code %d\n%s%s", code, stdout, stderr)
	}
	set, err := sets.Lookup("AIME24")
	if err != nil {
		t.Fatal(err)
	}
	h.sets["AIME24"] = bytes.Repeat([]byte("x"), int(set.Size))
	code, _, stderr = run(t, "data", "fetch", "aime24")
	if code != ExitFailed || strings.Count(stderr, "justrl: ") != 1 || !strings.Contains(stderr, set.SHA256) || !strings.Contains(stderr, "/origin/data/AIME24/test.parquet") {
		t.Errorf("another file at the origin: code %d, %s", code, stderr)
	}
	h.sets["AIME24"] = []byte("short")
	code, _, stderr = run(t, "data", "fetch", "aime24")
	if code != ExitServer || !strings.Contains(stderr, fmt.Sprintf("5 bytes long, expected are %d", set.Size)) {
		t.Errorf("a short file at the origin: code %d, %s", code, stderr)
	}
	dir := t.TempDir()
	mine := filepath.Join(dir, "AIME24.parquet")
	if err := os.WriteFile(mine, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	asked := h.requests("")
	code, _, stderr = run(t, "data", "fetch", "AIME24", "--data-dir", dir)
	if code != ExitFailed || !strings.Contains(stderr, mine) || !strings.Contains(stderr, "remove it") || h.requests("") != asked {
		t.Errorf("a file of the user's: code %d, %s", code, stderr)
	}
	code, stdout, stderr = run(t, "data", "verify", "--data-dir", dir)
	if code != ExitFailed || strings.Count(stdout, "differs") != 1 || strings.Count(stdout, "missing") != 8 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("verify: code %d\n%s%s", code, stdout, stderr)
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = run(t, "data", "verify", "--data-dir", dir); code != ExitFailed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, dir+" has none of the sets") {
		t.Errorf("verify of nothing: code %d, %s", code, stderr)
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "there is no such folder", os.Args[0]: "is not a folder"} {
		for _, args := range [][]string{{"verify"}, {"verify", "all"}, {"verify", "AMC23"}, {"list"}} {
			args = append([]string{"data", args[0], "--data-dir", path}, args[1:]...)
			code, stdout, stderr = run(t, args...)
			if code != ExitFailed || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, path) || !strings.Contains(stderr, want) {
				t.Errorf("%v: code %d\n%s%s", args, code, stdout, stderr)
			}
		}
	}
	if code, _, stderr = run(t, "data", "verify"); code != ExitOK {
		t.Errorf("verify of an empty cache: code %d, %s", code, stderr)
	}
	if code, _, stderr = run(t, "data", "verify", "--data-dir", dir, "AMC23"); code != ExitFailed || !strings.Contains(stderr, "justrl data fetch AMC23") {
		t.Errorf("verify of what is named and missing: code %d, %s", code, stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	asked = h.requests("")
	code, stdout, stderr = run(t, "data", "list", "--json")
	got := objects(t, stdout)
	if code != ExitOK || len(got) != 10 || got[0].K != 32 || got[3].Rows != 500 || got[9].Name != "dapo" || got[9].Status != "missing" || h.requests("") != asked {
		t.Errorf("list: code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = run(t, "data", "list")
	if code != ExitOK || strings.Count(stdout, "\n") != 11 || !strings.Contains(stdout, "Olympiad-Bench  set      4      674   113 kB  missing  -") {
		t.Errorf("list: code %d\n%s", code, stdout)
	}
}

// An interrupted fetch is one, and says how to go on.
func TestDataFetchInterrupted(t *testing.T) {
	h := newWebHub(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12495") // AIME24's
		_, _ = w.Write(make([]byte, 100))
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	})
	var stdout, stderr bytes.Buffer
	code := Run(ctx, []string{"justrl", "data", "fetch", "all"}, strings.NewReader(""), &stdout, &stderr)
	if code != ExitInterrupted || stdout.Len() != 0 || !strings.Contains(stderr.String(), "run it again to go on") {
		t.Errorf("code %d\n%s%s", code, &stdout, &stderr)
	}
}

// With the real files at the origin all nine come, are right, and are there then.
func TestDataFetchOfRealSets(t *testing.T) {
	const real = "../../../shared/data/benchmarks"
	if _, err := os.Stat(real); err != nil {
		t.Skipf("SKIPPED: the nine sets are not on this machine: %v", err)
	}
	h := newWebHub(t, nil)
	for _, name := range sets.Names() {
		b, err := os.ReadFile(filepath.Join(real, name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		h.sets[name] = b
	}
	for i, want := range []string{"fetched", "there"} {
		code, stdout, stderr := run(t, "data", "fetch", "all", "--json")
		got := objects(t, stdout)
		if code != ExitOK || len(got) != 9 || h.requests("GET /origin") != 9 {
			t.Fatalf("time %d: code %d, %d requests\n%s%s", i, code, h.requests("GET /origin"), stdout, stderr)
		}
		for _, f := range got {
			if f.Status != want {
				t.Errorf("%s is %s, want %s", f.Name, f.Status, want)
			}
		}
	}
	for _, args := range [][]string{{"data", "verify"}, {"data", "verify", "--data-dir", real}, {"data", "list"}} {
		if code, stdout, stderr := run(t, args...); code != ExitOK || strings.Count(stdout, " ok ") != 9 {
			t.Errorf("%q: code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}
