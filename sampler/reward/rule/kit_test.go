package rule

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// pair is a response and what the definition says of it.
type pair struct {
	ID          string `json:"id"`
	Response    string `json:"response"`
	GroundTruth string `json:"ground_truth"`
	Correct     *bool  `json:"correct"` // nil: the definition needs longer than 10 s
	Kind        string `json:"kind"`
}

func readPairs(t testing.TB, path string) []pair {
	t.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: the reference pairs are not on this machine (%s)", path)
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var pairs []pair
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var p pair
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("%s:%d: %v", path, len(pairs)+1, err)
		}
		pairs = append(pairs, p)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

var kit1 = filepath.Join("..", "..", "..", "..", "shared", "kits", "kit1_public.jsonl")

// grade holds the grader against pairs and reports how they were decided.
func grade(t *testing.T, g *Grader, pairs []pair) {
	t.Helper()
	hows, asked := map[How]int{}, 0
	for _, p := range pairs {
		if p.Correct == nil {
			continue
		}
		v, err := g.Grade(t.Context(), p.Response, p.GroundTruth)
		if err != nil {
			t.Errorf("%s (%s): %v", p.ID, p.Kind, err)
			continue
		}
		hows[v.How]++
		asked += min(v.Asked, 1)
		if v.Correct != *p.Correct {
			t.Errorf("%s (%s): %+v of %+q with the truth %+q, want %t", p.ID, p.Kind, v, tail(p.Response), p.GroundTruth, *p.Correct)
		}
	}
	t.Logf("%d pairs, %d asked of Python; %v", len(pairs), asked, hows)
}

func tail(s string) string { return s[max(0, len(s)-300):] }

// TestKit holds the grader against the 2,500 reference verdicts.
func TestKit(t *testing.T) {
	pairs := readPairs(t, kit1)
	if len(pairs) < 2500 {
		t.Fatalf("%d pairs", len(pairs))
	}
	grade(t, &Grader{Algebra: newOracle(t)}, pairs)
}
