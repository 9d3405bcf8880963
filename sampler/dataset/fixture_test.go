package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// The two schemas as Hugging Face datasets writes them: everything optional.
type verlRow struct {
	Prompt      []verlMessage `parquet:"prompt,list,optional"`
	DataSource  string        `parquet:"data_source,optional"`
	RewardModel verlReward    `parquet:"reward_model,optional"`
	ExtraInfo   verlExtra     `parquet:"extra_info,optional"`
}

type verlMessage struct {
	Content *string `parquet:"content,optional"`
	Role    string  `parquet:"role,optional"`
}

type verlReward struct {
	GroundTruth *string `parquet:"ground_truth,optional"`
	Style       string  `parquet:"style,optional"`
}

type verlExtra struct {
	Index string `parquet:"index,optional"`
}

type arenaRow struct {
	ProblemIdx int64    `parquet:"problem_idx,optional"`
	Problem    string   `parquet:"problem,optional"`
	Answer     *string  `parquet:"answer,optional"`
	Type       []string `parquet:"problem_type,list,optional"`
}

func verl(id, question, answer string) verlRow {
	return verlRow{
		Prompt:      []verlMessage{{Content: &question, Role: "user"}},
		DataSource:  "made",
		RewardModel: verlReward{GroundTruth: &answer, Style: "rule"},
		ExtraInfo:   verlExtra{Index: id},
	}
}

func arena(idx int64, question, answer string) arenaRow {
	return arenaRow{ProblemIdx: idx, Problem: question, Answer: &answer, Type: []string{"Algebra", "Geometry"}}
}

// writeParquet writes rows into a file of its own, perGroup rows a row group.
func writeParquet[T any](t testing.TB, perGroup int, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&parquet.Snappy))
	for i, r := range rows {
		if i > 0 && i%perGroup == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write([]T{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// numbered is a JSON lines file of n problems "q0", "q1" and so on.
func numbered(t testing.TB, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"problem\":\"q%d\",\"answer\":\"a%d\"}\n", i, i)
	}
	return writeFile(t, "numbered.jsonl", b.String())
}

func mustOpen(t testing.TB, path string) Source {
	t.Helper()
	src, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src
}
