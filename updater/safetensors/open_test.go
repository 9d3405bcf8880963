package safetensors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenOneFile(t *testing.T) {
	s := open(t, folder(t, map[string][]byte{SingleName: three()}))
	if d := cmp.Diff([]string{"empty", "m", "s"}, s.Names()); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	info, ok := s.Info("m")
	if d := cmp.Diff(Info{Name: "m", DType: "BF16", Shape: []int64{2, 3}, File: SingleName}, info); d != "" || !ok {
		t.Errorf("info of m, %v (-want +got):\n%s", ok, d)
	}
	for name, want := range map[string][]byte{"m": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, "empty": {}, "s": {12, 13, 14, 15, 16, 17, 18, 19}} {
		got, err := s.Bytes(name)
		if err != nil || string(got) != string(want) {
			t.Errorf("bytes of %s are %v (%v), want %v", name, got, err, want)
		}
		if cap(got) != len(got) {
			t.Errorf("bytes of %s: an append would write into the next tensor", name)
		}
	}
	if _, ok := s.Info("nobody"); ok {
		t.Error("there is no tensor nobody")
	}
	_, err := s.Bytes("nobody")
	wantError(t, err, `no tensor "nobody"`)
}

// What a caller does to an answer must not reach the Set.
func TestAnswersAreCopies(t *testing.T) {
	s := open(t, folder(t, map[string][]byte{SingleName: three()}))
	info, _ := s.Info("m")
	info.Shape[0] = 99
	l := s.Layout()
	l.Files[0].Tensors[0].Shape[0], l.Files[0].Tensors[1].DType, l.Files[0].Metadata["format"] = 99, "U8", "np"
	s.Names()[0] = "x"
	again, _ := s.Info("m")
	want := []Info{{"m", "BF16", []int64{2, 3}, SingleName}, {"empty", "F32", []int64{0, 7}, SingleName}, {"s", "I64", []int64{}, SingleName}}
	if d := cmp.Diff(want, s.Layout().Files[0].Tensors); d != "" {
		t.Errorf("layout (-want +got):\n%s", d)
	}
	if again.Shape[0] != 2 || s.Names()[0] != "empty" || s.Layout().Files[0].Metadata["format"] != "pt" {
		t.Error("the Set changed with a caller's copy")
	}
}

const twoShards = `{"metadata":{"total_size":5,"total_parameters":5},"weight_map":{"a":"y.safetensors","b":"x.safetensors"}}`

func TestOpenShards(t *testing.T) {
	s := open(t, folder(t, map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": one("b", 2), "y.safetensors": one("a", 3), "z.safetensors": []byte("not named by the index")}))
	if d := cmp.Diff([]string{"a", "b"}, s.Names()); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if i, _ := s.Info("a"); i.File != "y.safetensors" {
		t.Errorf("a is in %s", i.File)
	}
	l := s.Layout()
	if !l.Index || len(l.Files) != 2 || l.Files[0].Name != "x.safetensors" || string(l.IndexMetadata["total_parameters"]) != "5" {
		t.Errorf("layout is %+v", l)
	}
}

func TestOpenFaults(t *testing.T) {
	x, y := one("b", 2), one("a", 3)
	for name, c := range map[string]struct {
		files map[string][]byte
		want  []string
	}{
		"no weights":        {map[string][]byte{"config.json": nil}, []string{"no model.safetensors and no", "is it a model folder?"}},
		"pickled weights":   {map[string][]byte{"pytorch_model.bin": nil}, []string{"pytorch_model.bin", "converted to safetensors"}},
		"both":              {map[string][]byte{SingleName: x, IndexName: []byte(twoShards)}, []string{"both", "remove one"}},
		"truncated":         {map[string][]byte{SingleName: x[:len(x)-1]}, []string{SingleName + ": truncated: header says", "copy it again"}},
		"a shard not there": {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": x}, []string{IndexName, "not in the folder: y.safetensors"}},
		"a shard truncated": {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": x, "y.safetensors": y[:20]}, []string{"y.safetensors: truncated"}},
		"shards swapped":    {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": y, "y.safetensors": x}, []string{IndexName, "a is in x.safetensors, not in y.safetensors", "b is in y.safetensors"}},
		"a tensor too few":  {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": x, "y.safetensors": file(`{}`, 0)}, []string{"a is not in y.safetensors"}},
		"a tensor too many": {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": x, "y.safetensors": file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)}, []string{"c of y.safetensors is not in the index"}},
		"a tensor twice":    {map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": x, "y.safetensors": x}, []string{`y.safetensors: tensor "b" is in x.safetensors too`}},
		"index garbage":     {map[string][]byte{IndexName: []byte("{")}, []string{IndexName, "EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.files)
			_, err := Open(dir)
			wantError(t, err, append(c.want, dir)...)
		})
	}
	t.Run("no folder", func(t *testing.T) {
		_, err := Open(filepath.Join(t.TempDir(), "gone"))
		wantError(t, err, "gone")
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is not fs.ErrNotExist", err)
		}
	})
	t.Run("a file for a folder", func(t *testing.T) {
		_, err := Open(filepath.Join(folder(t, map[string][]byte{"f": x}), "f"))
		wantError(t, err, "/f")
	})
	t.Run("a folder for a file", func(t *testing.T) {
		_, err := OpenFile(t.TempDir())
		wantError(t, err, "not a regular file")
	})
}

func TestParseIndexFaults(t *testing.T) {
	for name, c := range map[string]struct{ index, want string }{
		"empty":                  {``, "EOF"},
		"not an object":          {`[]`, "{ was expected"},
		"no weight_map":          {`{"metadata":{}}`, "no weight_map"},
		"empty weight_map":       {`{"weight_map":{}}`, "or an empty one"},
		"tensor twice":           {`{"weight_map":{"a":"x","a":"y"}}`, `"a" occurs twice`},
		"weight_map twice":       {`{"weight_map":{"a":"x"},"weight_map":{"a":"y"}}`, `"weight_map" occurs twice`},
		"file not a string":      {`{"weight_map":{"a":1}}`, "string was expected"},
		"file outside, up":       {`{"weight_map":{"a":"../x"}}`, "not a file name"},
		"file outside, absolute": {`{"weight_map":{"a":"/etc/passwd"}}`, "not a file name"},
		"file in a subfolder":    {`{"weight_map":{"a":"sub/x"}}`, "not a file name"},
		"file is the folder":     {`{"weight_map":{"a":"."}}`, "not a file name"},
		"file without a name":    {`{"weight_map":{"a":""}}`, "not a file name"},
		"something after it":     {`{"weight_map":{"a":"x"}} 1`, "something follows"},
		"not UTF-8":              {"{\"\xff\":1}", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseIndex([]byte(c.index))
			wantError(t, err, c.want)
		})
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(twoShards))
	f.Add([]byte(`{"weight_map":{"a":"../x"}}`))
	f.Add([]byte(`{"extra":[[[1]]],"weight_map":{"a":"x"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseIndex(b)
		if err != nil {
			return
		}
		if len(x.files) == 0 || len(x.weightMap) == 0 {
			t.Error("an index without files was let through")
		}
		for _, name := range x.files {
			if strings.ContainsAny(name, "/") || name == ".." || !filepath.IsLocal(name) {
				t.Errorf("file %q is outside the folder", name)
			}
		}
	})
}

func TestClose(t *testing.T) {
	s, err := Open(folder(t, map[string][]byte{SingleName: three()}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = s.Bytes("m")
	wantError(t, err, "after Close")
	_, err = s.SHA256()
	wantError(t, err, "after Close")
}

// Open must not leave a file or a mapping open when it fails.
func TestFailedOpenLeavesNothingMapped(t *testing.T) {
	dir := folder(t, map[string][]byte{IndexName: []byte(twoShards), "x.safetensors": one("b", 2), "y.safetensors": one("b", 2)})
	if _, err := Open(dir); err == nil {
		t.Fatal("no error")
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("SKIPPED: no /proc/self/maps to look at: %v", err)
	}
	if strings.Contains(string(maps), dir) {
		t.Errorf("still mapped:\n%s", maps)
	}
}
