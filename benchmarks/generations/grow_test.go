package generations

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
)

func TestGrow(t *testing.T) {
	const want = "sums_t0.7_p0.9_n8-MNT200.jsonl"
	for _, c := range []struct {
		name  string
		there []string
		takes string // whose content want has then; "" is that there is none
	}{
		{"nothing", nil, ""},
		{"fewer samples", []string{"sums_t0.7_p0.9_n4-MNT200.jsonl"}, "sums_t0.7_p0.9_n4-MNT200.jsonl"},
		{"the most of several", []string{"sums_t0.7_p0.9_n4-MNT200.jsonl", "sums_t0.7_p0.9_n7-MNT200.jsonl", "sums_t0.7_p0.9_n1-MNT200.jsonl"}, "sums_t0.7_p0.9_n7-MNT200.jsonl"},
		{"it is there", []string{want, "sums_t0.7_p0.9_n4-MNT200.jsonl"}, want},
		{"more samples", []string{"sums_t0.7_p0.9_n16-MNT200.jsonl"}, ""},
		{"others", []string{"more_t0.7_p0.9_n4-MNT200.jsonl", "sums_t0.8_p0.9_n4-MNT200.jsonl", "sums_t0.7_p0.9_n4-MNT300.jsonl", "sums_t0.7_p1.0_n4-MNT200.jsonl", "sums_t0.7_p0.9_n4-MNT200.csv", "sums.jsonl", "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range c.there {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := Grow(filepath.Join(dir, want)); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, want))
			if string(b) != c.takes || (c.takes == "") != (err != nil) {
				t.Errorf("%q (%v), want %q", b, err, c.takes)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != len(c.there) {
				t.Errorf("%d files of %d (%v)", len(left), len(c.there), err)
			}
		})
	}
	if err := Grow(filepath.Join(t.TempDir(), "gone", want)); err != nil {
		t.Error(err)
	}
}

// What somebody appends to is not taken away.
func TestGrowOfAFileInUse(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "sums_t0.7_p0.9_n4-MNT200.jsonl")
	a, err := Append(old, func(benchmarks.Generation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	err = Grow(filepath.Join(dir, "sums_t0.7_p0.9_n8-MNT200.jsonl"))
	if err == nil || !strings.Contains(err.Error(), "another process is writing it") {
		t.Errorf("error %v", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(found, []string{old}) {
		t.Errorf("%v, %v", found, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
