package agent

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

func TestPull(t *testing.T) {
	tr := newTrainer(t, chunk)
	want := blobs{"model.safetensors": random(10*chunk+17, 1), "config.json": []byte("{}"), "empty": nil, "deep/er/file": random(chunk, 2), "odd ?#%name": []byte("x")}
	s := tr.publish(t, 7, want)
	p := newPuller(t, serve(t, tr.share), t.TempDir())
	var c counts
	got, err := p.pull(t.Context(), asked(s), &c)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	if err := atomicdir.Verify(got.Dir); err != nil {
		t.Error(err)
	}
	if got.Version != 7 || got.Step != 7 || got.SHA256 != s.SHA256 || got.Dir == s.Dir {
		t.Errorf("pulled %+v, published %+v", got, s)
	}
	size := int64(11*chunk + 17 + 2 + 1)
	if d := cmp.Diff(Pulled{Bytes: size, Fetched: size}, c.pulled()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(p.folder.dir, pullName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pull's folder is left: %v", err)
	}
	// Once more: it is there.
	c = counts{}
	if again, err := p.pull(t.Context(), asked(s), &c); err != nil || again != got || c.pulled() != (Pulled{}) {
		t.Errorf("again: %+v, %v, %+v", again, err, c.pulled())
	}
	// Damaged since: it is pulled anew, from nothing that is damaged.
	if err := os.WriteFile(filepath.Join(got.Dir, "deep/er/file"), random(chunk, 3), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := p.pull(t.Context(), asked(s), &c); err != nil || again != got {
		t.Errorf("after damage: %+v, %v", again, err)
	}
	same(t, got, want)
}

// Of a snapshot that differs in a tenth of its chunks, a tenth travels.
func TestPullFetchesWhatChanged(t *testing.T) {
	tr := newTrainer(t, chunk)
	var sent atomic.Int64
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			w = &counting{w, &sent}
		}
		tr.share.ServeHTTP(w, r)
	}))
	p := newPuller(t, url, t.TempDir())
	weights := random(200*chunk, 1)
	if _, err := p.pull(t.Context(), asked(tr.publish(t, 1, blobs{"model.safetensors": weights, "config.json": []byte("{}")})), &counts{}); err != nil {
		t.Fatal(err)
	}
	next := append([]byte(nil), weights...)
	for i := range 20 {
		next[(i*10+i%7)*chunk+i] ^= 1
	}
	want := blobs{"model.safetensors": next, "config.json": []byte("{}")}
	sent.Store(0)
	var c counts
	got, err := p.pull(t.Context(), asked(tr.publish(t, 2, want)), &c)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	if d := cmp.Diff(Pulled{Bytes: 200*chunk + 2, Fetched: 20 * chunk, Reused: 180*chunk + 2}, c.pulled()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if sent.Load() != 20*chunk {
		t.Errorf("the trainer sent %d bytes, want %d", sent.Load(), 20*chunk)
	}
}

// counting counts a body's bytes.
type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// What is not what it should be never becomes a snapshot.
func TestPullRefusesLies(t *testing.T) {
	want := blobs{"model.safetensors": random(9*chunk, 1), "config.json": []byte("{}")}
	change := func(edit func(*share.Manifest)) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				if r.Header.Get("Range") == "" {
					m, err := share.ParseManifest(b)
					if err != nil {
						t.Error(err)
						return
					}
					edit(m)
					b, _ = json.Marshal(m)
				} else {
					w.Header().Set("Content-Range", rec.Header().Get("Content-Range"))
				}
				w.WriteHeader(rec.Code)
				_, _ = w.Write(b)
			})
		}
	}
	body := func(edit func(http.Header, []byte) (int, []byte)) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") == "" {
					h.ServeHTTP(w, r)
					return
				}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				status, b := edit(rec.Header(), rec.Body.Bytes())
				w.Header().Set("Content-Range", rec.Header().Get("Content-Range"))
				w.WriteHeader(status)
				_, _ = w.Write(b)
			})
		}
	}
	for _, c := range []struct {
		name string
		lie  func(http.Handler) http.Handler
		want string
	}{
		{"wrong bytes", body(func(_ http.Header, b []byte) (int, []byte) {
			b[len(b)-1] ^= 1
			return 206, b
		}), "another SHA-256 than the manifest says, 3 times"},
		{"too short", body(func(_ http.Header, b []byte) (int, []byte) { return 206, b[:0] }), "unexpected EOF"},
		{"another range", body(func(h http.Header, b []byte) (int, []byte) {
			h.Set("Content-Range", "bytes 0-1/2")
			return 206, b
		}), "does not pass ranges on"},
		{"ranges ignored", body(func(_ http.Header, b []byte) (int, []byte) { return 200, want["model.safetensors"] }), "got status 200"},
		{"a redirect", body(func(h http.Header, b []byte) (int, []byte) { return 302, nil }), "redirects are not followed"},
		{"another run", change(func(m *share.Manifest) { m.Run = "run2" }), "--trainer"},
		{"another version", change(func(m *share.Manifest) { m.Version = 8 }), "version 8"},
		{"another hash of a file", change(func(m *share.Manifest) { m.Files[1].SHA256[0] ^= 1 }), "should have"},
		{"a path outside", change(func(m *share.Manifest) { m.Files[1].Name = "../../x" }), "not that of a file inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTrainer(t, chunk)
			s := tr.publish(t, 7, want)
			outside := t.TempDir()
			p := newPuller(t, serve(t, c.lie(tr.share)), filepath.Join(outside, "agent"))
			_, err := p.pull(t.Context(), asked(s), &counts{})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), token) {
				t.Errorf("error is %v, want one line that says %q", err, c.want)
			}
			if places, err := p.folder.complete(); err != nil || len(places) > 0 {
				t.Errorf("complete: %v, %v", places, err)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
				t.Errorf("outside of the folder: %v, %v", entries, err)
			}
			// The honest trainer is believed afterwards.
			p.trainer = dial(t, serve(t, tr.share), nil)
			got, err := p.pull(t.Context(), asked(s), &counts{})
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		})
	}
}

// A token that is wrong or missing is told at once, and nothing is written but
// the empty folder of the run.
func TestPullWithoutToken(t *testing.T) {
	tr := newTrainer(t, chunk)
	s := tr.publish(t, 1, blobs{"model.safetensors": []byte("x")})
	for name, key := range map[string]string{"none": "", "another": strings.Repeat("x", 32)} {
		t.Run(name, func(t *testing.T) {
			p := newPuller(t, serve(t, tr.share), t.TempDir())
			e, err := endpoint.New(p.trainer.URL(), endpoint.Options{APIKey: key})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			p.trainer = e
			_, err = p.pull(t.Context(), asked(s), &counts{})
			var status *endpoint.StatusError
			if !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
				t.Errorf("error is %v, want 401", err)
			}
			if files := content(t, p.folder.dir); len(files) != 1 {
				t.Errorf("written: %v", files)
			}
		})
	}
}

// An earlier chunk that was damaged is not taken.
func TestReuseChecks(t *testing.T) {
	tr := newTrainer(t, chunk)
	p := newPuller(t, serve(t, tr.share), t.TempDir())
	weights := random(4*chunk, 1)
	first, err := p.pull(t.Context(), asked(tr.publish(t, 1, blobs{"model.safetensors": weights})), &counts{})
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), weights...)
	damaged[2*chunk]++
	if err := os.WriteFile(filepath.Join(first.Dir, "model.safetensors"), damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	want := blobs{"model.safetensors": append(append([]byte(nil), weights...), 'x')}
	var c counts
	got, err := p.pull(t.Context(), asked(tr.publish(t, 2, want)), &c)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	if n := c.pulled(); n.Reused != 3*chunk || n.Fetched != chunk+1 {
		t.Errorf("%+v", n)
	}
	if sha256.Sum256(damaged) == sha256.Sum256(weights) {
		t.Error("nothing was damaged")
	}
}
