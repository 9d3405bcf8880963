package rule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/sampler"
)

// generate runs testdata/generate.py, which needs a Python alone.
func generate(t *testing.T, seed uint64, count int, truths []string) []pair {
	t.Helper()
	cmd := exec.Command(cmp.Or(os.Getenv(pythonEnv), "python3"), filepath.Join("testdata", "generate.py"), strconv.FormatUint(seed, 10), strconv.Itoa(count))
	more, err := json.Marshal(truths)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(more), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pairs []pair
	for line := range bytes.Lines(out) {
		var p pair
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// benchmarkTruths are the ground truths of the nine sets, where they are.
func benchmarkTruths(t *testing.T) []string {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "data", "benchmarks", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Log("SKIPPED: without the ground truths of the nine sets, which are not on this machine")
	}
	var truths []string
	for _, file := range files {
		rows, err := parquet.ReadFile[struct {
			Answer      string `parquet:"answer,optional"`
			RewardModel struct {
				GroundTruth string `parquet:"ground_truth,optional"`
			} `parquet:"reward_model,optional"`
		}](file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, row := range rows {
			truths = append(truths, cmp.Or(row.RewardModel.GroundTruth, row.Answer))
		}
	}
	return slices.Compact(truths)
}

// TestGenerated holds the whole grader against the definition on generated pairs.
func TestGenerated(t *testing.T) {
	o := newOracle(t)
	pairs := generate(t, oracleSeed(t), oracleCount(t), benchmarkTruths(t))
	g := &Grader{Algebra: o}
	late := 0
	known := pairs[:0]
	for _, p := range pairs {
		var verdict json.RawMessage
		err := o.ask(&verdict, "grade_answer_verl", p.Response, p.GroundTruth)
		if errors.Is(err, sampler.ErrVerifyTimeout) {
			late++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(verdict, &p.Correct); err != nil || p.Correct == nil {
			t.Errorf("the definition says %s of %+q, %+q", verdict, p.Response, p.GroundTruth)
			continue
		}
		known = append(known, p)
	}
	t.Logf("%d too late", late)
	grade(t, g, known)
}
