package generations

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks"
)

func generation(id int, response string) benchmarks.Generation {
	return benchmarks.Generation{ExampleID: id, Prompt: fmt.Sprint("p", id), Answer: fmt.Sprint("a", id), Seed: 5, Response: response}
}

// A file that was killed at any byte is gone on with: what is whole is known,
// nothing is there twice, nothing half.
func TestAppendGoesOnAfterEveryByte(t *testing.T) {
	whole := line(0, "é") + "\n" + line(1, "b") + "\n"
	first := len(line(0, "é"))
	for cut := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o666); err != nil {
			t.Fatal(err)
		}
		var known []benchmarks.Generation
		a, err := Append(path, func(g benchmarks.Generation) error { known = append(known, g); return nil })
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		var want []benchmarks.Generation
		if cut >= first {
			want = append(want, generation(0, "é"))
		}
		if cut >= len(whole)-1 {
			want = append(want, generation(1, "b"))
		}
		if d := cmp.Diff(want, known); d != "" {
			t.Errorf("cut at %d, known (-want +got):\n%s", cut, d)
		}
		if err := errors.Join(a.Add(generation(2, "c")), a.Close()); err != nil {
			t.Fatal(err)
		}
		var got []benchmarks.Generation
		if err := Scan(path, func(_ Line, g benchmarks.Generation) error { got = append(got, g); return nil }); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if d := cmp.Diff(append(want, generation(2, "c")), got); d != "" {
			t.Errorf("cut at %d (-want +got):\n%s", cut, d)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	content := line(0, "a") + "\n" + line(1, "b")[:30] + "\n" + line(2, "c")[:20]
	path := write(t, content)
	var broken *LineError
	if _, err := Append(path, func(benchmarks.Generation) error { return nil }); !errors.As(err, &broken) || broken.Line != 2 {
		t.Errorf("a broken middle line: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != content {
		t.Errorf("the file was changed to %q (%v)", b, err)
	}

	path = write(t, line(0, "a")+"\n")
	nothing := func(benchmarks.Generation) error { return nil }
	a, err := Append(path, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Append(path, nothing); err == nil || !strings.Contains(err.Error(), "another process is writing it") {
		t.Errorf("a second writer: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a, err = Append(path, nothing)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if err := errors.Join(a.Close(), a.Add(generation(1, "b"))); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAppendFromManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	a, err := Append(path, func(benchmarks.Generation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	for i := range 50 {
		g.Go(func() error { return a.Add(generation(i, strings.Repeat("x", i*100))) })
	}
	if err := errors.Join(g.Wait(), a.Close()); err != nil {
		t.Fatal(err)
	}
	var ids []int
	if err := Scan(path, func(_ Line, g benchmarks.Generation) error { ids = append(ids, g.ExampleID); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	for i, id := range ids {
		if i != id || len(ids) != 50 {
			t.Fatalf("ids %v", ids)
		}
	}
}
