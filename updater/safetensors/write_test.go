package safetensors

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sharded is a layout of two files, with the bytes of its tensors.
func sharded() (Layout, func(name string) ([]byte, error)) {
	l := Layout{Index: true, IndexMetadata: map[string]json.RawMessage{"total_parameters": json.RawMessage("5")}, Files: []FileLayout{
		{Name: "model-00001-of-00002.safetensors", Metadata: map[string]string{"format": "pt"}, Tensors: []Info{{Name: "w", DType: "F32", Shape: []int64{2, 1}}, {Name: `odd "<name>"`, DType: "BF16"}}},
		{Name: "model-00002-of-00002.safetensors", Tensors: []Info{{Name: "a", DType: "U8", Shape: []int64{2}}}},
	}}
	data := map[string]string{"w": "01234567", `odd "<name>"`: "xy", "a": "ab"}
	return l, func(name string) ([]byte, error) { return []byte(data[name]), nil }
}

func TestWriteShards(t *testing.T) {
	l, data := sharded()
	dir := t.TempDir()
	if err := Write(dir, l, data); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, l.Files[0].Name))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},` +
		`"odd \"<name>\"":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}`
	for len(want)%8 != 0 {
		want += " "
	}
	want = string(file(want, 0)) + "01234567xy"
	if string(got) != want {
		t.Errorf("first shard is\n%q, want\n%q", got, want)
	}
	got, err = os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		t.Fatal(err)
	}
	want = `{
  "metadata": {
    "total_parameters": 5,
    "total_size": 12
  },
  "weight_map": {
    "a": "model-00002-of-00002.safetensors",
    "odd \"<name>\"": "model-00001-of-00002.safetensors",
    "w": "model-00001-of-00002.safetensors"
  }
}
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("index (-want +got):\n%s", d)
	}
	s := open(t, dir)
	for _, name := range s.Names() {
		want, _ := data(name)
		if got, err := s.Bytes(name); err != nil || string(got) != string(want) {
			t.Errorf("%s reads back as %q (%v), want %q", name, got, err, want)
		}
	}
	st, err := os.Stat(filepath.Join(dir, IndexName))
	if err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v: a server that runs as another user could not read it", st.Mode(), err)
	}
}

// A Write that fails leaves the folder as it was, whichever tensor it failed at.
func TestWriteFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		change func(*Layout)
		data   func(name string) ([]byte, error)
		want   string
	}{
		"data, in the first file": {nil, func(string) ([]byte, error) { return nil, boom }, `tensor "w": boom`},
		"data, in the second file": {nil, func(n string) ([]byte, error) {
			return []byte("01234567")[:map[string]int{"w": 8, "a": 1}[n]+boolInt(n[0] == 'o')*2], nil
		}, `tensor "a": U8 [2] needs 2 bytes, 1 were given`},
		"no files":               {func(l *Layout) { l.Files = nil }, nil, "without files"},
		"no index":               {func(l *Layout) { l.Index = false }, nil, "without an index"},
		"one name for two files": {func(l *Layout) { l.Files[1].Name = l.Files[0].Name }, nil, "not a usable file name"},
		"a name outside":         {func(l *Layout) { l.Files[1].Name = "../x" }, nil, "not a usable file name"},
		"a tensor in two files":  {func(l *Layout) { l.Files[1].Tensors[0].Name = "w" }, nil, `tensor "w" is in`},
		"an unknown dtype":       {func(l *Layout) { l.Files[1].Tensors[0].DType = "float" }, nil, `unknown dtype "float"`},
		"a tensor named as metadata": {func(l *Layout) { l.Files[1].Tensors[0].Name = "__metadata__" }, nil,
			"__metadata__"},
	} {
		t.Run(name, func(t *testing.T) {
			l, data := sharded()
			if c.change != nil {
				c.change(&l)
			}
			if c.data != nil {
				data = c.data
			}
			dir := folder(t, map[string][]byte{"model-00001-of-00002.safetensors": []byte("old")})
			wantError(t, Write(dir, l, data), c.want, dir)
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Fatalf("folder has %v (%v), want the old file alone", entries, err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, entries[0].Name())); err != nil || string(b) != "old" {
				t.Errorf("old file is %q now (%v)", b, err)
			}
		})
	}
	t.Run("no folder", func(t *testing.T) {
		l, data := sharded()
		wantError(t, Write(filepath.Join(t.TempDir(), "gone"), l, data), "gone", "no such file")
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Who has a file mapped while it is written again keeps the old bytes.
func TestWriteOverAMappedFile(t *testing.T) {
	path := filepath.Join(folder(t, map[string][]byte{"f": one("a", 3)}), "f")
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := WriteFile(path, []Info{{Name: "a", DType: "U8", Shape: []int64{1}}}, nil, func(string) ([]byte, error) { return []byte{9}, nil }); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Bytes("a"); err != nil || string(b) != "\x00\x01\x02" {
		t.Errorf("mapped bytes are %v (%v), want the old ones", b, err)
	}
	again, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if b, err := again.Bytes("a"); err != nil || string(b) != "\x09" {
		t.Errorf("new bytes are %v (%v)", b, err)
	}
}

// A relative path without a folder means the working directory.
func TestWriteFileHere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteFile("state.safetensors", nil, map[string]string{"k": "v"}, nil); err != nil {
		t.Fatal(err)
	}
	s, err := OpenFile("state.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if l := s.Layout(); l.Files[0].Metadata["k"] != "v" || len(s.Names()) != 0 {
		t.Errorf("reads back as %+v", l)
	}
}

func TestWithDType(t *testing.T) {
	l := Layout{Files: []FileLayout{{Tensors: []Info{{DType: "F32"}, {DType: "BF16"}, {DType: "F16"}, {DType: "I64"}, {DType: "U8"}, {DType: "BOOL"}}}}}
	got := []string{}
	for _, i := range l.WithDType("BF16").Files[0].Tensors {
		got = append(got, i.DType)
	}
	if d := cmp.Diff([]string{"BF16", "BF16", "BF16", "I64", "U8", "BOOL"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if l.Files[0].Tensors[0].DType != "F32" {
		t.Error("the original changed")
	}
}
