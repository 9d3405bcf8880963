package atomicdir

import (
	"path/filepath"
	"testing"
)

// A caller that knows what the files must be has them held to it before they are seen.
func TestCreateWantsFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"as wanted":      {map[string]string{"a": "1", "d/b": "2"}, ""},
		"another":        {map[string]string{"a": "1", "d/b": "3"}, "d/b has the SHA-256"},
		"one missing":    {map[string]string{"a": "1"}, "d/b is missing"},
		"one too many":   {map[string]string{"a": "1", "d/b": "2", "c": ""}, "c is no file of it"},
		"nothing at all": {nil, "a is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			_, err := Create(dir, Marker{Files: map[string]string{"a": sum("1"), "d/b": sum("2")}}, files(c.files))
			if c.want != "" {
				wantError(t, err, c.want)
				wantNames(t, parent)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(dir); err != nil {
				t.Error(err)
			}
		})
	}
}
