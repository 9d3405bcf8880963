package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	kept := filepath.Join(home, ".cache", "huggingface", "token")
	if err := os.MkdirAll(filepath.Dir(kept), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte("hf_kept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	std := filepath.Join(home, ".cache/huggingface/hub")
	for _, tc := range []struct {
		name string
		env  map[string]string
		want Options
	}{
		{"nothing", map[string]string{"HOME": home}, Options{Cache: std, Token: "hf_kept"}},
		{"another token", map[string]string{"HOME": home, "HF_TOKEN": " hf_mine\n"}, Options{Cache: std, Token: "hf_mine"}},
		{"no token unasked", map[string]string{"HOME": home, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, Options{Cache: std}},
		{"XDG", map[string]string{"HOME": home, "XDG_CACHE_HOME": "/xdg"}, Options{Cache: "/xdg/huggingface/hub"}},
		{"HF_HOME", map[string]string{"HOME": home, "XDG_CACHE_HOME": "/xdg", "HF_HOME": "~/hf"}, Options{Cache: filepath.Join(home, "hf/hub")}},
		{"a variable within", map[string]string{"HF_HOME": "$SCRATCH/hf", "SCRATCH": "/scratch"}, Options{Cache: "/scratch/hf/hub"}},
		{"HF_HUB_CACHE goes before", map[string]string{"HF_HOME": "/hf", "HF_HUB_CACHE": "/cache"}, Options{Cache: "/cache"}},
		{"its old name", map[string]string{"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, Options{Cache: "/old"}},
		{"mirror, offline, patience", map[string]string{"HF_HOME": "/hf", "HF_ENDPOINT": "https://hf-mirror.com", "HF_HUB_OFFLINE": "true", "HF_HUB_DOWNLOAD_TIMEOUT": "5"},
			Options{Cache: "/hf/hub", Endpoint: "https://hf-mirror.com", Offline: true, Stall: 5 * time.Second}},
		{"online in so many words", map[string]string{"HF_HOME": "/hf", "HF_HUB_OFFLINE": "0"}, Options{Cache: "/hf/hub"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := FromEnv(func(k string) string { return tc.env[k] })
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Options{}, "Progress", "Notice")); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
	for name, env := range map[string]map[string]string{
		"HF_HUB_CACHE":            {},
		"HF_HUB_OFFLINE":          {"HOME": home, "HF_HUB_OFFLINE": "maybe"},
		"HF_HUB_DOWNLOAD_TIMEOUT": {"HOME": home, "HF_HUB_DOWNLOAD_TIMEOUT": "10s"},
	} {
		_, err := FromEnv(func(k string) string { return env[k] })
		wantOneLine(t, err, name)
	}
}

func TestNewErrors(t *testing.T) {
	for _, address := range []string{"huggingface.co", "ftp://x", "https://", "https://user:hf_secret@host", "https://host?token=hf_secret", "http://\x7f"} {
		_, err := New(Options{Endpoint: address})
		wantOneLine(t, err, "HF_ENDPOINT")
	}
	_, err := New(Options{Token: "hf_secret\nX: y"})
	wantOneLine(t, err, "HF_TOKEN")
}

func TestClientHidesItsToken(t *testing.T) {
	c, err := New(Options{Token: "hf_secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, "hf_secret") {
			t.Errorf("%s tells it", format)
		}
	}
}

func TestParseRef(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Ref
	}{
		{"Qwen/Qwen2.5-1.5B", Ref{Model, "Qwen/Qwen2.5-1.5B", "main", ""}},
		{"org/name@v1.0", Ref{Model, "org/name", "v1.0", ""}},
		{"org/name@refs%2Fpr%2F1/data/a.parquet", Ref{Model, "org/name", "refs/pr/1", "data/a.parquet"}},
		{"org/name/data/a b.parquet", Ref{Model, "org/name", "main", "data/a b.parquet"}},
		{"hf://org/name", Ref{Model, "org/name", "main", ""}},
		{"hf://datasets/org/name/a.jsonl", Ref{Dataset, "org/name", "main", "a.jsonl"}},
		{"datasets/org", Ref{Model, "datasets/org", "main", ""}},
	} {
		got, err := ParseRef(tc.in, Model)
		if d := cmp.Diff(tc.want, got); err != nil || d != "" {
			t.Errorf("%q: %v (-want +got)\n%s", tc.in, err, d)
		}
	}
	for _, in := range []string{
		"", "gpt2", "/org/name", "../name", "org/..", "org/.", "./org/name", "org/na--me", "org/name.git", "-org/name", "org/name/", "org/name/../x", "org/name/a//b", "org/name//etc/passwd",
		"org/name@", "org/name@../x", "org/name@%2e%2e%2fx", "org/name@/x", "org/name@a%00b", "org/name@a%0ab", "org/name/a\x1b[2Kb", "org/name/a\xff", "org/na me", "org/näme", strings.Repeat("o", 97) + "/name", "org/name/a\\b", "https://huggingface.co/org/name",
	} {
		if r, err := ParseRef(in, Model); err == nil {
			t.Errorf("%q was read as %+v", in, r)
		} else {
			wantOneLine(t, err, "org/name")
		}
	}
}

// Whatever is read as a Ref names a place in the cache, and is written as it is read.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"org/name", "org/name@v1/a/b", "hf://datasets/org/name", "org/../x", "a/b@%2e%2e/c"} {
		f.Add(s)
	}
	c, err := New(Options{Cache: "/cache"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s, Dataset)
		if err != nil {
			return
		}
		for _, path := range []string{c.ref(r), c.treePath(r, testCommit), filepath.Join(c.snapshot(r, testCommit), r.File)} {
			if !strings.HasPrefix(path, "/cache/"+r.Kind+"s--") || path != filepath.Clean(path) || strings.Count(path, "/") < 3 {
				t.Errorf("%q leads to %q", s, path)
			}
		}
	})
}
