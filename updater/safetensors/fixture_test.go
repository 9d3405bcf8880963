package safetensors

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file spells a safetensors file: a header, and n bytes of data 0, 1, 2 and so on.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

// three is a file with a scalar, an empty tensor and a matrix, as the
// reference implementation would write it.
func three() []byte {
	return file(`{"__metadata__":{"format":"pt"},"m":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},`+
		`"empty":{"dtype":"F32","shape":[0,7],"data_offsets":[12,12]},"s":{"dtype":"I64","shape":[],"data_offsets":[12,20]}}  `, 20)
}

// one is a file with a single U8 tensor of n bytes.
func one(name string, n int) []byte {
	return file(fmt.Sprintf(`{%q:{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, name, n, n), n)
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open opens a folder that must be in order; the test closes it.
func open(t *testing.T, dir string) *Set {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}
