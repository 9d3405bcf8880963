package rule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/sampler"
)

var update = flag.Bool("update", false, "write testdata/pairs.jsonl anew, with verdicts of the definition (it needs "+oracleEnv+")")

// recordedPair is a generated pair with the definition's verdict, the step that
// finds it here, and what Python was asked for it.
type recordedPair struct {
	pair
	How   How              `json:"how"`
	Asked []recordedAnswer `json:"asked,omitempty"`
}

type recordedAnswer struct {
	Normalize string   `json:"normalize,omitempty"`
	Text      string   `json:"text,omitempty"`
	Equal     []string `json:"equal,omitempty"`
	Is        bool     `json:"is,omitempty"`
}

// recorded is an Algebra that knows the answers that were once given.
type recorded []recordedAnswer

func (r recorded) Normalize(_ context.Context, expr string) (string, error) {
	for _, a := range r {
		if a.Equal == nil && a.Normalize == expr {
			return a.Text, nil
		}
	}
	return "", fmt.Errorf("not recorded: %+q", expr)
}

func (r recorded) Equal(_ context.Context, truth, given string) (bool, error) {
	for _, a := range r {
		if a.Equal != nil && a.Equal[0] == truth && a.Equal[1] == given {
			return a.Is, nil
		}
	}
	return false, fmt.Errorf("not recorded: %+q, %+q", truth, given)
}

// recorder asks another Algebra and keeps what it says.
type recorder struct {
	Algebra
	answers []recordedAnswer
}

func (r *recorder) Normalize(ctx context.Context, expr string) (string, error) {
	s, err := r.Algebra.Normalize(ctx, expr)
	r.answers = append(r.answers, recordedAnswer{Normalize: expr, Text: s})
	return s, err
}

func (r *recorder) Equal(ctx context.Context, truth, given string) (bool, error) {
	is, err := r.Algebra.Equal(ctx, truth, given)
	r.answers = append(r.answers, recordedAnswer{Equal: []string{truth, given}, Is: is})
	return is, err
}

var recordedFile = filepath.Join("testdata", "pairs.jsonl")

// TestRecorded needs no Python: the verdicts of the definition, and what Python was
// asked for them, are in testdata/pairs.jsonl.
func TestRecorded(t *testing.T) {
	if *update {
		record(t)
	}
	data, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	hows, correct, n := map[How]int{}, 0, 0
	for line := range bytes.Lines(data) {
		var p recordedPair
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		v, err := (&Grader{Algebra: recorded(p.Asked)}).Grade(t.Context(), p.Response, p.GroundTruth)
		if err != nil || v.Correct != *p.Correct || v.How != p.How || v.Asked != len(p.Asked) {
			t.Errorf("%s (%s): %+v, %v of %+q with the truth %+q; want %t by %s", p.ID, p.Kind, v, err, p.Response, p.GroundTruth, *p.Correct, p.How)
		}
		hows[v.How]++
		n++
		if v.Correct {
			correct++
		}
	}
	if len(hows) < 8 || correct < n/5 || correct > n*4/5 {
		t.Errorf("of %d pairs %d are correct, and they are decided by %v: too few steps", n, correct, hows)
	}
}

func record(t *testing.T) {
	o := newOracle(t)
	var out bytes.Buffer
	for _, p := range generate(t, 2, 500, nil) {
		var correct bool
		if err := o.ask(&correct, "grade_answer_verl", p.Response, p.GroundTruth); errors.Is(err, sampler.ErrVerifyTimeout) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		r := &recorder{Algebra: o}
		v, err := (&Grader{Algebra: r}).Grade(t.Context(), p.Response, p.GroundTruth)
		if err != nil {
			t.Fatal(err)
		}
		p.Correct = &correct
		line, err := json.Marshal(recordedPair{pair: p, How: v.How, Asked: r.answers})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	if err := os.WriteFile(recordedFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
