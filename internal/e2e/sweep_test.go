//go:build torch

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sweep needs no server but the program's own.
func TestSweepOnTheEmbeddedServer(t *testing.T) {
	dir := t.TempDir()
	abs := func(path string) string {
		p, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	spec, out := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "out")
	text := "models: [{model: " + abs(policy) + ", name: shipped}]\nservers: embedded\nsets: " + abs(heldOut) +
		"\nsampling: {temperature: 0, n: 1, max_tokens: 64, seed: [0, 1]}\nlimit: 12\nverifier: strict-box\n"
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := must(t, "sweep", spec, "--out", out)
	if n := strings.Count(r.stdout, "shipped"); n < 2 {
		t.Errorf("%d rows:\n%s", n, r.stdout)
	}
	var answers [2][]string
	for i, seed := range []string{"s0", "s1"} {
		path := filepath.Join(out, "cells", "shipped-t0-p0.9-n1-m64-"+seed, "heldout_t0.0_p0.9_n1-MNT64.jsonl")
		texts := map[int]string{}
		for _, g := range readLines[struct {
			ID       int `json:"example_id"`
			Response string
		}](t, content(t, path)) {
			texts[g.ID] = g.Response
		}
		if len(texts) != 12 {
			t.Fatalf("%d answers in %s", len(texts), path)
		}
		for id := range 12 {
			answers[i] = append(answers[i], texts[id])
		}
	}
	a, _ := json.Marshal(answers[0])
	b, _ := json.Marshal(answers[1])
	if string(a) != string(b) { // greedy
		t.Errorf("greedy answers depend on the seed:\n%s\n%s", a, b)
	}
	if !strings.Contains(string(a), "boxed") {
		t.Errorf("answers %s", a)
	}
}
