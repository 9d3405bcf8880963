package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// sized is a layout of U8 tensors of these sizes, named in their order, in files
// of perFile each, and random bytes for them.
func sized(perFile int, sizes ...int64) (Layout, func(name string) ([]byte, error)) {
	data := map[string][]byte{}
	random := rand.NewChaCha8([32]byte{7})
	l := Layout{}
	for i, size := range sizes {
		if i%perFile == 0 {
			l.Files = append(l.Files, FileLayout{Name: fmt.Sprintf("%d.safetensors", len(l.Files)), Metadata: map[string]string{"format": "pt"}})
		}
		f := &l.Files[len(l.Files)-1]
		info := Info{Name: fmt.Sprintf("t%03d", i), DType: "U8", Shape: []int64{size}}
		f.Tensors = append(f.Tensors, info)
		data[info.Name] = make([]byte, size)
		_, _ = random.Read(data[info.Name])
	}
	l.Index = len(l.Files) != 1
	if !l.Index {
		l.Files[0].Name = SingleName
	}
	// Every tensor comes in the same buffer, as a trainer's do: what is still
	// needed of the last one is gone.
	var buffer []byte
	return l, func(name string) ([]byte, error) {
		clear(buffer[:cap(buffer)])
		buffer = append(buffer[:0], data[name]...)
		return buffer, nil
	}
}

// turned returns l with its tensors, and its files, in the opposite order.
func turned(l Layout) Layout {
	l = l.clone()
	slices.Reverse(l.Files)
	for _, f := range l.Files {
		slices.Reverse(f.Tensors)
	}
	return l
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// The files are those of Write byte for byte, and the sums are what reading them gives.
func TestWriteHashed(t *testing.T) {
	defer goleak.VerifyNone(t)
	around := []int64{0, 1, large - 1, large, large + 1, 3, piece - 1, piece, piece + 1, 8<<20 + 12345, 2, 0}
	for name, layout := range map[string]func() (Layout, func(string) ([]byte, error)){
		"one file":        func() (Layout, func(string) ([]byte, error)) { return sized(len(around), around...) },
		"shards":          func() (Layout, func(string) ([]byte, error)) { return sized(3, around...) },
		"only small ones": func() (Layout, func(string) ([]byte, error)) { return sized(100, 1, 2, 3, 4000, 5) },
		"no tensors": func() (Layout, func(string) ([]byte, error)) {
			return Layout{Files: []FileLayout{{Name: SingleName}}}, nil
		},
		"names that need quotes": sharded,
	} {
		for order, change := range map[string]func(Layout) Layout{"": Layout.clone, ", backwards": turned} {
			t.Run(name+order, func(t *testing.T) {
				l, data := layout()
				l = change(l)
				plain, unsynced, hashed := t.TempDir(), t.TempDir(), t.TempDir()
				if err := errors.Join(Write(plain, l, data), WriteUnsynced(unsynced, l, data)); err != nil {
					t.Fatal(err)
				}
				sums, err := WriteHashed(hashed, l, data)
				if err != nil {
					t.Fatal(err)
				}
				want := read(t, plain)
				if !cmp.Equal(want, read(t, hashed)) || !cmp.Equal(want, read(t, unsynced)) {
					t.Error("the files are not those of Write") // a diff of megabytes helps nobody
				}
				wantSums := Sums{Files: map[string]string{}}
				for name, b := range want {
					h := sha256.Sum256([]byte(b))
					wantSums.Files[name] = hex.EncodeToString(h[:])
				}
				if wantSums.Weights, err = open(t, plain).SHA256(); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(wantSums, sums); d != "" {
					t.Errorf("sums (-want +got):\n%s", d)
				}
			})
		}
	}
}

// Wherever it fails, nothing stays and nobody goes on working.
func TestWriteHashedFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	boom := errors.New("boom")
	l, data := sized(2, 10, large+1, 20, large*5, 30)
	for order, l := range map[string]Layout{"in order": l, "backwards": turned(l)} {
		for at := range 5 {
			t.Run(fmt.Sprintf("%s, tensor %d", order, at), func(t *testing.T) {
				dir := folder(t, map[string][]byte{"0.safetensors": []byte("old")})
				calls := 0
				sums, err := WriteHashed(dir, l, func(name string) ([]byte, error) {
					if calls++; calls > at {
						return nil, boom
					}
					return data(name)
				})
				if !errors.Is(err, boom) || sums.Files != nil || sums.Weights != "" {
					t.Errorf("%+v, %v; want boom", sums, err)
				}
				if d := cmp.Diff(map[string]string{"0.safetensors": "old"}, read(t, dir)); d != "" {
					t.Errorf("the folder (-want +got):\n%s", d)
				}
			})
		}
	}
	t.Run("a layout that is none", func(t *testing.T) {
		_, err := WriteHashed(t.TempDir(), Layout{}, data)
		wantError(t, err, "without files")
	})
	t.Run("no folder", func(t *testing.T) {
		_, err := WriteHashed(filepath.Join(t.TempDir(), "gone"), turned(l), data)
		wantError(t, err, "gone", "no such file")
	})
}

// disk takes room bytes and gives back what it has taken, as far as readable.
type disk struct {
	bytes.Buffer
	room, readable int
}

var (
	errFull = errors.New("it is full")
	errRead = errors.New("it cannot be read")
)

func (d *disk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return 0, errFull
	}
	d.room -= len(b)
	return d.Buffer.Write(b)
}

func (d *disk) ReadAt(b []byte, at int64) (int, error) {
	if int(at)+len(b) > d.readable {
		return 0, errRead
	}
	return copy(b, d.Bytes()[at:]), nil
}

// What the goroutines run into is what the caller gets.
func TestSinkReturnsWhatItsGoroutinesRunInto(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, _ := sized(2, large, large)
	for name, c := range map[string]struct {
		layout Layout
		disk   disk
		want   error
	}{
		"nothing":                        {l, disk{room: 4 * large, readable: 4 * large}, nil},
		"the writer's":                   {l, disk{room: large + large/2}, errFull},
		"the writer's, with a follower":  {turned(l), disk{room: large + large/2, readable: 4 * large}, errFull},
		"the follower's":                 {turned(l), disk{room: 4 * large}, errRead},
		"the follower's, half-way":       {turned(l), disk{room: 4 * large, readable: 2*large - 1}, errRead},
		"in order nothing is read again": {l, disk{room: 4 * large}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHashing(c.layout)
			defer h.stop()
			s := newSink(nil, h)
			s.file, s.source = &c.disk, &c.disk
			s.buffer.Reset(&c.disk)
			var err error
			for _, info := range c.layout.Files[0].Tensors {
				if err == nil {
					err = s.tensor(info, make([]byte, large))
				}
			}
			if err == nil {
				_, err = h.finish()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

var _ io.ReaderAt = (*disk)(nil)
