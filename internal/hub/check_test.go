package hub

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCheck(t *testing.T) {
	f := newFakeModel(t)
	c := f.client(t, Options{})
	_, _, err := c.Check(t.Context(), model())
	wantOneLine(t, err, "org/name", "has not been fetched")
	s, err := c.Snapshot(t.Context(), model(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.forget()
	dir, files, err := c.Check(t.Context(), model())
	if err != nil || dir != s.Dir || len(files) != 4 {
		t.Fatalf("%s, %v, %v", dir, files, err)
	}
	for _, file := range files {
		if file.Err != nil || file.Size != int64(len(f.files[file.Path])) {
			t.Errorf("%+v", file)
		}
	}
	for _, name := range []string{"config.json", "model.safetensors"} { // git's SHA-1, SHA-256
		path := filepath.Join(s.Dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	bad := 0
	_, files, err = c.Check(t.Context(), model())
	for _, file := range files {
		var sum *ChecksumError
		if errors.As(file.Err, &sum) {
			bad++
			wantOneLine(t, file.Err, sum.Want, sum.Got, "remove it")
		}
	}
	if bad != 2 || err != nil {
		t.Errorf("found %d of 2 that were changed, %v", bad, err)
	}
	if got := f.requests(); len(got) != 0 {
		t.Errorf("sent %q", got)
	}
}
