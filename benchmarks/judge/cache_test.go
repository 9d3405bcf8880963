package judge

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A cache that a killed process has left is read as far as it goes, and what
// is added stands in lines of its own.
func TestCacheAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "judge.jsonl")
	c, err := OpenCache(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{keyOf("1"), keyOf("2"), keyOf("3")}
	for i, said := range []string{Correct, Incorrect, Invalid} {
		if err := c.add(keys[i], said, said); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	whole := content(t, path)
	ends := 0 // lines that end at or before cut
	for cut := range len(whole) + 1 {
		if cut > 0 && whole[cut-1] == '\n' {
			ends++
		}
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCache(path)
		if err != nil {
			t.Fatal(err)
		}
		known := ends
		if cut < len(whole) && whole[cut] == '\n' { // whole but for its line break
			known++
		}
		if len(c.said) != known {
			t.Fatalf("cut at %d: %d verdicts, want %d", cut, len(c.said), known)
		}
		if err := c.add(keyOf("new"), Incorrect, ""); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err = OpenCache(path); err != nil || len(c.said) != known+1 || c.said[keyOf("new")] != Incorrect {
			t.Fatalf("cut at %d, and one added: %d verdicts (%v), want %d", cut, len(c.said), err, known+1)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCachePassesOver(t *testing.T) {
	key := keyOf("k")
	for name, line := range map[string]string{
		"no JSON":          `{"key":`,
		"another object":   `{"a":1}`,
		"another key":      `{"key":"abc","judgement":"A"}`,
		"another verdict":  `{"key":"` + key + `","judgement":"D"}`,
		"no verdict":       `{"key":"` + key + `","judgement":"?","said":"Well"}`,
		"two lines merged": `{"key":"` + key + `","judg{"key":"` + key + `","judgement":"A"}`,
		"a very long line": strings.Repeat("x", 1<<20),
		"NUL":              "\x00\x00",
	} {
		path := filepath.Join(t.TempDir(), "judge.jsonl")
		good := `{"key":"` + keyOf("good") + `","judgement":"C"}` + "\n"
		if err := os.WriteFile(path, []byte(good+line+"\n"+strings.ReplaceAll(good, keyOf("good"), keyOf("good2"))), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCache(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.said) != 2 || c.said[keyOf("good2")] != Invalid {
			t.Errorf("%s: %v", name, c.said)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenCache(t.TempDir()); err == nil {
		t.Error("a folder was taken for a cache")
	}
}

func FuzzCache(f *testing.F) {
	f.Add([]byte(`{"key":"` + keyOf("k") + `","judgement":"A"}` + "\n"))
	f.Add([]byte("{\n\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "judge.jsonl")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCache(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // of a test
		for k, v := range c.said {
			if len(k) != 64 || read(v) == Nonsense {
				t.Fatalf("%q: %q", k, v)
			}
		}
		if !bytes.HasPrefix(content(t, path), b) {
			t.Fatal("what was there has changed")
		}
	})
}
