package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/guard"
)

const (
	token = "0123456789abcdef0123456789abcdef"
	chunk = 4 << 10
)

// blobs are the files of a snapshot that no model is in.
type blobs map[string][]byte

// Export makes blobs a bridge.Exporter.
func (b blobs) Export(_ context.Context, dir string) error {
	for name, content := range b {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

var tensors = []bridge.Tensor{{Name: "w", DType: "F32", Shape: []int64{1}}}

// blobInspector takes a folder's first file for its weights.
type blobInspector struct{}

func (blobInspector) Tensors(string) ([]bridge.Tensor, error) { return tensors, nil }

func (blobInspector) SHA256(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// random is n bytes, the same for the same seed.
func random(n int, seed uint64) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = rng.Read(b) // never fails
	return b
}

// trainer is one that publishes blobs and shares them.
type trainer struct {
	root  string
	share *share.Handler
}

func newTrainer(t testing.TB, size int64) *trainer {
	t.Helper()
	tr := &trainer{root: filepath.Join(t.TempDir(), "snapshots")}
	var err error
	tr.share, err = share.New(share.Options{Run: "run1", ChunkSize: size, Open: func(v int64) (bridge.Snapshot, error) { return bridge.Find(tr.root, v) }})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr *trainer) publish(t testing.TB, version int64, b blobs) bridge.Snapshot {
	t.Helper()
	s, err := (&bridge.Snapshots{Root: tr.root, Exporter: b, Inspector: blobInspector{}, Want: tensors}).Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve has a handler answer on the loopback address, behind the token.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(guard.RequireToken(token, h))
	t.Cleanup(srv.Close)
	return srv.URL
}

func dial(t testing.TB, url string, transport http.RoundTripper) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{APIKey: token, Transport: transport, MaxReply: share.MaxManifest})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// quick is a retry that does not wait.
var quick = endpoint.Retry{Tries: 8, First: time.Microsecond, Most: time.Microsecond}

// newPuller pulls from a server into a folder.
func newPuller(t testing.TB, url, dir string) *puller {
	t.Helper()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	return &puller{trainer: dial(t, url, nil), folder: f, stall: 30 * time.Second, retry: quick}
}

func asked(s bridge.Snapshot) Request {
	return Request{Attempt: "a", Run: "run1", Version: s.Version, SHA256: s.SHA256}
}

// same compares what was pulled with what was published.
func same(t testing.TB, got bridge.Snapshot, want blobs) {
	t.Helper()
	for name, content := range want {
		b, err := os.ReadFile(filepath.Join(got.Dir, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		} else if string(b) != string(content) {
			t.Errorf("%s is not what was published", name)
		}
	}
}

// content is every file below a folder, for a comparison of before and after.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
