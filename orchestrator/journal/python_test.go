package journal

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/atomicdir"
)

// What pandas, pyarrow and DuckDB read is what was written: names, types, every value.
func TestPythonReadsRollouts(t *testing.T) {
	env, err := exec.CommandContext(t.Context(), "../../scripts/parquet-env").Output()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: pandas and DuckDB cannot be set up here (scripts/parquet-env): %v", err)
	}
	want := variedRollouts(24, 1, 400)
	want[3].Text, want[3].Answer, want[3].Penalty, want[3].Server = "<b> \u221e \"q\"\n\x00", "", -0.125, ""
	path := filepath.Join(t.TempDir(), "step-000000.parquet")
	if err := atomicdir.ReplaceFile(path, func(w io.Writer) error { return writeParquet(w, want, 1000) }); err != nil {
		t.Fatal(err)
	}
	python := exec.CommandContext(t.Context(), filepath.Join(strings.TrimSpace(string(env)), "bin", "python"), "testdata/read.py", path)
	python.Stderr = os.Stderr
	out, err := python.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Pandas, DuckDB []Rollout
		DuckDBTypes    map[string]string `json:"duckdb_types"`
		ArrowTypes     map[string]string `json:"arrow_types"`
		Groups         [][4]float64
		RowGroups      int `json:"row_groups"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string][]Rollout{"pandas": got.Pandas, "DuckDB": got.DuckDB} {
		if !reflect.DeepEqual(want, rows) {
			t.Errorf("%s (-written +read):\n%.3000s", name, cmp.Diff(want, rows))
		}
	}
	if d := cmp.Diff(map[string]string{
		"group": "BIGINT", "problem_id": "VARCHAR", "sample": "INTEGER", "prompt_token_ids": "INTEGER[]", "token_ids": "INTEGER[]", "logprobs": "FLOAT[]",
		"text": "VARCHAR", "finish_reason": "VARCHAR", "reward": "DOUBLE", "penalty": "DOUBLE", "correct": "BOOLEAN", "answer": "VARCHAR",
		"weights_version": "BIGINT", "server": "VARCHAR",
	}, got.DuckDBTypes); d != "" {
		t.Errorf("DuckDB's types (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{
		"group": "int64", "problem_id": "string", "sample": "int32", "prompt_token_ids": "list<element: int32 not null>", "token_ids": "list<element: int32 not null>",
		"logprobs": "list<element: float not null>", "text": "string", "finish_reason": "string", "reward": "double", "penalty": "double", "correct": "bool",
		"answer": "string", "weights_version": "int64", "server": "string",
	}, got.ArrowTypes); d != "" {
		t.Errorf("pyarrow's types (-want +got):\n%s", d)
	}
	if got.RowGroups < 2 {
		t.Errorf("%d row groups", got.RowGroups)
	}
	var groups [][4]float64 // what the SQL of the documentation says
	for i, r := range want {
		if i%8 == 0 {
			groups = append(groups, [4]float64{float64(r.Group)})
		}
		g := &groups[len(groups)-1]
		g[1] += r.Reward / 8
		g[2] += float64(len(r.TokenIDs))
		if r.Logprobs == nil {
			g[3]++
		}
	}
	if d := cmp.Diff(groups, got.Groups); d != "" {
		t.Errorf("by group (-want +got):\n%s", d)
	}
}
