package cli

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator"
)

// A set's name becomes a file's: nothing in it may lead elsewhere, hide or clash.
func TestSetName(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		others     []string
		want       string
	}{
		{"a file", "/data/AIME24.parquet", nil, "AIME24"},
		{"letters of any alphabet", "数学-测试_1.jsonl", nil, "数学-测试_1"},
		{"what a shell or a path would take for something else", "/d/held out*?\n:\\é.jsonl", nil, "held_out_____é"},
		{"no name at all", "/d/.jsonl", nil, "set"},
		{"hidden", "/d/.held.jsonl", nil, "set.held"},
		{"upwards", "/d/...jsonl", nil, "set.."},
		{"no text", "/d/\xff\xfe.jsonl", nil, "__"},
		{"too long for a file", "/d/" + strings.Repeat("é", 120) + ".jsonl", nil, strings.Repeat("é", 100)},
		{"another set's", "/e/held.jsonl", []string{"held"}, "held-2"},
		{"another set's on a disk that takes a for A", "/e/held.jsonl", []string{"Held", "held-2"}, "held-3"},
	} {
		var others []orchestrator.HeldOut
		for _, o := range tc.others {
			others = append(others, orchestrator.HeldOut{Name: o})
		}
		if got := setName(tc.path, others); got != tc.want {
			t.Errorf("%s: %q is named %q, want %q", tc.name, tc.path, got, tc.want)
		}
	}
}
