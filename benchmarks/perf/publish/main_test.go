package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/atomicdir"
)

func TestRunMeasuresBoth(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(t.Context(), []string{"--dir", dir, "--mb", "2", "--pairs", "2", "--json"}, &out, io.Discard)
	var r report
	if bad := json.Unmarshal(out.Bytes(), &r); bad != nil || len(r.Rounds) != 2 || r.Rounds[0].Copy.Clock <= 0 || r.Rounds[1].Snapshot.Clock <= 0 || r.Rounds[0].Unhashed.Clock <= 0 || r.Rounds[1].Sums.Clock <= 0 || r.Ratio.Median <= 0 {
		t.Errorf("%s: %v", out.Bytes(), bad)
	}
	if (err != nil) != (r.Ratio.Median < least) { // of 2 MB it says nothing, but the exit code must be its own
		t.Errorf("error %v with a ratio of %g", err, r.Ratio.Median)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	var table bytes.Buffer
	if err := r.write(&table); err != nil || !strings.Contains(table.String(), "2 MB of weights, 2 pairs") {
		t.Errorf("%q, %v", table.String(), err)
	}
}

// Both write the same bytes, whole, in whatever order.
func TestBothWriteTheSame(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		c, err := newContest(t.TempDir(), 3, 1, backwards)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.publish.Publish(t.Context(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := atomicdir.Verify(s.Dir); err != nil {
			t.Error(err)
		}
		if err := copySynced(c.source, c.dir+"/copy"); err != nil {
			t.Fatal(err)
		}
		a, err := os.ReadFile(s.Dir + "/model.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(c.dir + "/copy")
		if err != nil || !bytes.Equal(a, b) || len(a) < 2_900_000 {
			t.Errorf("%d bytes and %d, %v", len(a), len(b), err)
		}
		if sum, err := c.layout.SHA256(c.bytes); err != nil || sum != s.SHA256 {
			t.Errorf("the snapshot's hash is %s, want %s, %v", s.SHA256, sum, err)
		}
		if sum, err := (inspector{}).SHA256(s.Dir); err != nil || sum != s.SHA256 {
			t.Errorf("the snapshot's hash is %s, read back %s, %v", s.SHA256, sum, err)
		}
	}
}

func TestRunRefusesArguments(t *testing.T) {
	for _, args := range [][]string{{"--mb", "0"}, {"--pairs", "0"}, {"word"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
