package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// TestReference reads a file that the reference implementation wrote
// (testdata/reference.py) and writes it again, byte for byte.
func TestReference(t *testing.T) {
	path := filepath.Join("testdata", "reference.safetensors")
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	le := binary.LittleEndian
	element := map[string]func(b []byte, k int) float64{
		"type.F64": func(b []byte, k int) float64 { return math.Float64frombits(le.Uint64(b[8*k:])) },
		"type.F32": func(b []byte, k int) float64 { return float64(math.Float32frombits(le.Uint32(b[4*k:]))) },
		"type.BF16": func(b []byte, k int) float64 {
			return float64(math.Float32frombits(uint32(le.Uint16(b[2*k:])) << 16))
		},
		"type.I64":  func(b []byte, k int) float64 { return float64(int64(le.Uint64(b[8*k:]))) },
		"type.I32":  func(b []byte, k int) float64 { return float64(int32(le.Uint32(b[4*k:]))) },
		"type.I16":  func(b []byte, k int) float64 { return float64(int16(le.Uint16(b[2*k:]))) },
		"type.I8":   func(b []byte, k int) float64 { return float64(int8(b[k])) },
		"type.U8":   func(b []byte, k int) float64 { return float64(b[k]) },
		"type.BOOL": func(b []byte, k int) float64 { return float64(b[k]) },
	}
	for name, at := range element {
		b, err := s.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 6 {
			want := float64(k)
			if name == "type.BOOL" {
				want = float64(k % 2)
			}
			if got := at(b, k); got != want {
				t.Errorf("%s[%d] is %g, want %g", name, k, got, want)
			}
		}
	}
	if len(s.Names()) != 13 {
		t.Errorf("%d tensors, want 13: %q", len(s.Names()), s.Names())
	}

	l := s.Layout()
	copied := filepath.Join(t.TempDir(), "copy.safetensors")
	if err := WriteFile(copied, l.Files[0].Tensors, l.Files[0].Metadata, s.Bytes); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
		t.Errorf("written again it differs (%v):\n%q\nwant\n%q", err, got, want)
	}
}
