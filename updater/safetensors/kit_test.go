package safetensors

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// kit returns the reference kit's folder, which lies beside the repository on
// the machines that have it.
func kit(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "kits", "kit3")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the reference kit is not on this machine: %v", err)
	}
	return dir
}

// TestKitRoundTrip writes files of the reference implementation again from
// their own layout: every byte must come out as it was.
func TestKitRoundTrip(t *testing.T) {
	for _, model := range []string{"a_qwen2_tied", "c_llama_rope3"} {
		t.Run(model, func(t *testing.T) {
			src, dst := filepath.Join(kit(t), model), t.TempDir()
			s, err := Open(src)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := Write(dst, s.Layout(), s.Bytes); err != nil {
				t.Fatal(err)
			}
			for _, f := range s.Layout().Files {
				want, err := os.ReadFile(filepath.Join(src, f.Name))
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(dst, f.Name))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s differs from the original", f.Name)
				}
			}
			again, err := Open(dst)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			a, err := s.SHA256()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := again.SHA256(); err != nil || a != b {
				t.Errorf("SHA256 %s after writing, want %s (%v)", b, a, err)
			}
		})
	}
}
