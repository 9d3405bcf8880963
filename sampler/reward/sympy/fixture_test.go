package sympy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "ask the official grader (JUSTRL_OFFICIAL_UTILS) for the answers of testdata/recorded.jsonl again")

// recorded is a line of testdata/recorded.jsonl: a question of our own, and what
// the official code says. Other fields but name are one or the other kind's.
type recorded struct {
	Name       string  `json:"name"`
	Expr       *string `json:"expr,omitempty"`
	Normalized *string `json:"normalized,omitempty"`
	Truth      string  `json:"truth,omitempty"`
	Given      string  `json:"given,omitempty"`
	Equal      bool    `json:"equal,omitempty"`
}

func TestRecorded(t *testing.T) {
	const path = "testdata/recorded.jsonl"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []recorded
	for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
		var line recorded
		if err := dec.Decode(&line); err != nil {
			t.Fatalf("%s: line %d: %v", path, len(lines)+1, err)
		}
		lines = append(lines, line)
	}
	if len(lines) < 100 {
		t.Errorf("%s has only %d lines", path, len(lines))
	}
	if *update {
		record(t, path, lines)
	}
	p := open(t, 2, nil)
	for _, l := range lines {
		t.Run(l.Name, func(t *testing.T) {
			if l.Expr == nil {
				if same, err := p.Equal(t.Context(), l.Truth, l.Given); err != nil || same != l.Equal {
					t.Errorf("%q and %q: %t, %v, recorded is %t", l.Truth, l.Given, same, err, l.Equal)
				}
				return
			}
			if text, err := p.Normalize(t.Context(), *l.Expr); err != nil || text != *l.Normalized {
				t.Errorf("%q: %q, %v, recorded is %q", *l.Expr, text, err, *l.Normalized)
			}
		})
	}
}

func record(t *testing.T, path string, lines []recorded) {
	o := startOfficial(t)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i := range lines {
		l := &lines[i]
		var inTime bool
		var err error
		if l.Expr == nil {
			inTime, err = o.ask("E", l.Truth, l.Given, &l.Equal)
		} else {
			l.Normalized = new(string)
			inTime, err = o.ask("N", *l.Expr, "", l.Normalized)
		}
		if err != nil || !inTime {
			t.Fatalf("%s: %t, %v", l.Name, inTime, err)
		}
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
