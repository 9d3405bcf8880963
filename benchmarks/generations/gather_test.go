package generations

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
)

func TestGather(t *testing.T) {
	const want = "sums_t0.7_p0.9_n8-MNT200.jsonl"
	line := func(id string) string {
		return `{"example_id":` + id + `,"prompt":"p","answer":"1","seed":0,"response":"r"}` + "\n"
	}
	all := func(Relative, benchmarks.Generation) (bool, error) { return true, nil }
	dir := t.TempDir()
	path := filepath.Join(dir, want)
	for name, text := range map[string]string{
		"sums_t0.7_p0.9_n4-MNT200.jsonl": line("4") + "{torn", "sums_t0.7_p0.9_n16-MNT200.jsonl": line("16"), want + ".aside": line("8"),
		"more_t0.7_p0.9_n4-MNT200.jsonl": line("1"), "sums_t0.8_p0.9_n4-MNT200.jsonl": line("2"), "sums_t0.7_p0.9_n2-MNT200.jsonl": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	no := errors.New("no")
	if err := Gather(path, func(Relative, benchmarks.Generation) (bool, error) { return false, no }); !errors.Is(err, no) || !strings.Contains(err.Error(), "n4-MNT200.jsonl:1: ") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was made all the same")
	}
	if err := Gather(path, all); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != line("4")+line("8")+line("16") {
		t.Errorf("%q, %v", b, err)
	}
	a, err := Append(path, func(benchmarks.Generation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := PutAside(path); err == nil || !strings.Contains(err.Error(), "another process is writing it") {
		t.Errorf("error %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := PutAside(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".aside2"); err != nil {
		t.Error(err)
	}
}
