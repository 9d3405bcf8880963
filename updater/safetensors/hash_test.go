package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// The definition, spelled out byte by byte.
func TestSHA256(t *testing.T) {
	s := open(t, folder(t, map[string][]byte{SingleName: three()}))
	spelled := "\x05\x00\x00\x00\x00\x00\x00\x00empty" + "\x03\x00\x00\x00\x00\x00\x00\x00F32" +
		"\x02\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00m" + "\x04\x00\x00\x00\x00\x00\x00\x00BF16" +
		"\x02\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00\x00\x00\x00\x00\x00\x00" + "\x0c\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b" +
		"\x01\x00\x00\x00\x00\x00\x00\x00s" + "\x03\x00\x00\x00\x00\x00\x00\x00I64" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x08\x00\x00\x00\x00\x00\x00\x00" + "\x0c\x0d\x0e\x0f\x10\x11\x12\x13"
	h := sha256.Sum256([]byte(spelled))
	want := hex.EncodeToString(h[:])
	if got, err := s.SHA256(); err != nil || got != want {
		t.Errorf("SHA256 is %s (%v), want %s", got, err, want)
	}
	if got, err := s.Layout().SHA256(s.Bytes); err != nil || got != want {
		t.Errorf("Layout.SHA256 is %s (%v), want %s", got, err, want)
	}
}

// The hash is of the tensors: shards, metadata and order do not change it,
// a name, a type, a shape or a byte does.
func TestSHA256SeesTensorsOnly(t *testing.T) {
	sum := func(files map[string][]byte) string {
		got, err := open(t, folder(t, files)).SHA256()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	single := func(header string) map[string][]byte { return map[string][]byte{SingleName: file(header, 4)} }
	base := sum(single(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}`))
	for name, files := range map[string]map[string][]byte{
		"metadata":           single(`{"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}`),
		"order in the file":  {SingleName: append(file(`{"b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 0), 2, 3, 0, 1)},
		"order of the names": single(`{"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`),
		"shards": {IndexName: []byte(`{"weight_map":{"a":"x","b":"y"}}`), "x": file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2),
			"y": append(file(`{"b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`, 0), 2, 3)},
	} {
		if sum(files) != base {
			t.Errorf("%s changes the hash", name)
		}
	}
	for name, files := range map[string]map[string][]byte{
		"a name":        single(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"c":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}`),
		"a type":        single(`{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}`),
		"a shape":       single(`{"a":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}`),
		"swapped bytes": single(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}`),
		"a border":      single(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[3],"data_offsets":[1,4]}}`),
	} {
		if sum(files) == base {
			t.Errorf("%s does not change the hash", name)
		}
	}
}

func TestLayoutSHA256ChecksSizes(t *testing.T) {
	l := Layout{Files: []FileLayout{{Tensors: []Info{{Name: "a", DType: "F32", Shape: []int64{2}}}}}}
	_, err := l.SHA256(func(string) ([]byte, error) { return make([]byte, 4), nil })
	wantError(t, err, `"a"`, "8")
}

// A file that is shortened while it is mapped must be an error, not the end of the process.
func TestSHA256OfAShortenedFile(t *testing.T) {
	dir := folder(t, map[string][]byte{SingleName: one("weights", 1<<20)})
	s := open(t, dir)
	if err := os.Truncate(filepath.Join(dir, SingleName), 4096); err != nil {
		t.Fatal(err)
	}
	_, err := s.SHA256()
	wantError(t, err, dir, `"weights"`, "copy it again")
}
