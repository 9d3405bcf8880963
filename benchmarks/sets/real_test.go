package sets

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
)

// What the authors' loader (evals/gen_vllm.py) makes of the nine files: a SHA-256
// over every row's prompt, 0, answer, 1, computed with pyarrow.
var loaded = map[string]string{
	"AIME24":         "4bb53b88d362dd7cee013acbffe8a5d06583888ca4e99ca68db2498b09890135",
	"AIME25":         "e1f71aeca26978e8e6445ae2545ae742d7b8578c61f127c590548db04445ab87",
	"AMC23":          "91e7fa074bd6b5c32f6984b983323ec26ebe0c95a2a25e972828cfa7d6b12773",
	"MATH-500":       "11b2abe9d7e66815542af7eb1bc511cf0f845657acc1dc76f86bf8f71d263846",
	"Minerva":        "e58faac07ae1a6bfd5648c605db9de39e404a95c0fc624825616ad0242aa2c58",
	"Olympiad-Bench": "806b8ffcb641232737781d14caaf4c130b01f0e4007b469291e333dddb44eff4",
	"HMMT25":         "6c1505836a2db5a255f949fa347f90c70f7fe1acaac1dbda62dd6784e9b20612",
	"BRUMO25":        "caa87d37631d14f972a1dcb1e10980874a6b227ce5584dde8d5acd867b446c90",
	"CMIMC25":        "4e601d0ad5bfe19ab74555b56fe58ebefa62e358e13bd40f8993b08691353425",
}

func TestRealSets(t *testing.T) {
	const dir = "../../../shared/data/benchmarks"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the nine sets are not on this machine: %v", err)
	}
	boxed := 0
	for _, set := range All() {
		path, err := Store{Dir: dir}.Check(set)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != set.Size {
			t.Errorf("%s: %v, want %d bytes", path, err, set.Size)
		}
		problems, err := Store{Dir: dir}.Load(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		for i, p := range problems {
			if p.ID != i {
				t.Errorf("%s: row %d has the id %d", set.Name, i, p.ID)
			}
			_, _ = io.WriteString(h, p.Question+"\x00"+p.Answer+"\x01")
			if set.Name == "AIME24" && strings.HasPrefix(p.Answer, `\boxed{`) {
				boxed++
			}
			by := map[bool]string{true: "data_source", false: "problem_type"}[set.QuestionColumn == verlQuestion]
			if p.Columns[by] == "" {
				t.Errorf("%s: row %d has no %s to break results down by: %v", set.Name, i, by, p.Columns)
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != loaded[set.Name] {
			t.Errorf("%s: %d problems differ from what the authors' loader reads", set.Name, len(problems))
		}
		// What a user gives by its path is read alike.
		opened, err := Open(t.Context(), path)
		if err != nil || len(opened) != len(problems) {
			t.Fatalf("%s by its path: %d problems, %v", set.Name, len(opened), err)
		}
		for i := range opened {
			if opened[i].Question != problems[i].Question || opened[i].Answer != problems[i].Answer {
				t.Errorf("%s by its path: row %d differs", set.Name, i)
			}
		}
	}
	if boxed != 30 {
		t.Errorf("%d of AIME24's truths are boxed, want all 30", boxed)
	}
}
