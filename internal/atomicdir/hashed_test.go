package atomicdir

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file whose sum fill knows is taken at its word; the others are hashed.
func TestCreateHashed(t *testing.T) {
	empty := sum("")
	some := strings.Repeat("ab", 32)
	boom := errors.New("boom")
	fill := files(map[string]string{"a": "", "sub/b": "", "c": ""})
	for name, c := range map[string]struct {
		known map[string]string
		wants map[string]string // Marker.Files beforehand
		err   error             // fill's
		files map[string]string // nil: an error
		want  string            // its words
	}{
		"nothing":                    {files: map[string]string{"a": empty, "sub/b": empty, "c": empty}},
		"some":                       {known: map[string]string{"sub/b": some}, files: map[string]string{"a": empty, "sub/b": some, "c": empty}},
		"all":                        {known: map[string]string{"a": some, "sub/b": some, "c": some}, files: map[string]string{"a": some, "sub/b": some, "c": some}},
		"a file that is not there":   {known: map[string]string{"a": empty, "d": empty}, want: "d was hashed and is not there"},
		"a folder":                   {known: map[string]string{"sub": empty}, want: "sub was hashed and is not there"},
		"another spelling of a path": {known: map[string]string{"./a": empty}, want: "./a was hashed and is not there"},
		"a sum that is cut":          {known: map[string]string{"a": empty[:62]}, want: "is no SHA-256 of a"},
		"a sum that is not hex":      {known: map[string]string{"a": "x" + empty[1:]}, want: "is no SHA-256 of a"},
		"no sum":                     {known: map[string]string{"a": ""}, want: "is no SHA-256 of a"},
		"fill's own error":           {known: map[string]string{"a": empty}, err: boom, want: "boom"},
		"not what the caller wants":  {known: map[string]string{"a": some}, wants: map[string]string{"a": empty, "sub/b": empty, "c": empty}, want: "should have"},
		"exactly what the caller wants": {known: map[string]string{"a": some}, wants: map[string]string{"a": some, "sub/b": empty, "c": empty},
			files: map[string]string{"a": some, "sub/b": empty, "c": empty}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "out")
			m, err := CreateHashed(dir, Marker{Version: 5, Files: c.wants}, func(tmp string) (map[string]string, error) {
				return c.known, errors.Join(fill(tmp), c.err)
			})
			if c.files == nil {
				wantError(t, err, c.want)
				wantNames(t, root)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			read, err := Read(dir)
			if want := (Marker{Version: 5, Files: c.files}); err != nil || !cmp.Equal(m, want) || !cmp.Equal(read, want) {
				t.Errorf("returned %+v, read %+v (%v), want %+v", m, read, err, want)
			}
		})
	}
}
