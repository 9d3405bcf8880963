package atomicdir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A file is the old one until the new one is whole; nothing else is left.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	put := func(text string, fail error) error {
		return ReplaceFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, fail)
		})
	}
	broken := errors.New("broken")
	for _, step := range []struct {
		text string
		fail error
		want string
	}{{"one", nil, "one"}, {"two", broken, "one"}, {"three", nil, "three"}} {
		if err := put(step.text, step.fail); !errors.Is(err, step.fail) || err != nil && err.Error() != "broken" {
			t.Errorf("%s: %v, want %v as it is", step.text, err, step.fail)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != step.want {
			t.Errorf("after %s the file holds %q, %v; want %q", step.text, b, err, step.want)
		}
		wantNames(t, dir, "config.yaml")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v: servers run as other users", st.Mode(), err)
	}
	if err := ReplaceFile(filepath.Join(dir, "nowhere", "x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}
