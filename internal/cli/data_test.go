package cli

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler/tokenizer"
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

// Training and validation read their files as the configuration says, and ask as it says.
func TestProblemsOfTheConfiguration(t *testing.T) {
	cfg, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load("../../sampler/openaitest/testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data = file(t, "train.csv", "q,l,r,right\nWhich?,x,y,1\n")
	cfg.Validation.Data = []string{file(t, "held.jsonl", `{"ask":"Why?","say":"so"}`+"\n")}
	for _, s := range []string{
		"problems.question=q", "problems.answer=right", "problems.choices=[l, r]", "problems.answer_is=index", "problems.instruction=One letter.",
	} {
		if err := cfg.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(ids []int32) string { return tok.Decode(ids, true) }
	d, err := openData(t.Context(), cfg, tok)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stream, err := d.stream(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	row, err := stream.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := asked(row.PromptTokenIDs); !strings.Contains(got, "Which?\nA. x\nB. y\n\nOne letter.") || row.Problem.Answer != "B" {
		t.Errorf("asks %q for %q", got, row.Problem.Answer)
	}
	// Validation reads as training does, until it is told otherwise.
	if _, err := heldOut(t.Context(), cfg, tok); err == nil || !strings.Contains(err.Error(), "held.jsonl: line 1: q is missing") {
		t.Errorf("%v", err)
	}
	for _, s := range []string{"validation.problems.question=ask", "validation.problems.answer=say", `validation.problems.instruction="Say: {{question}}"`} {
		if err := cfg.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	sets, err := heldOut(t.Context(), cfg, tok)
	if err != nil {
		t.Fatal(err)
	}
	if got := asked(sets[0].Rows[0].PromptTokenIDs); !strings.Contains(got, "Say: Why?") || strings.Contains(got, "letter") || sets[0].Rows[0].Problem.Answer != "so" {
		t.Errorf("validation asks %q", got)
	}
}

func TestProblemsThatCannotBe(t *testing.T) {
	code, _, stderr := run(t, "config", "--set", "problems.answer=a[", "--set", "problems.answer_is=word", "--set", "validation.problems.instruction='{{choices}}'")
	want := []string{
		"problems.question and answer: other columns need both",
		"problems.answer_is: is about choices, and there are none",
		`problems.answer_is: must be letter, index, number or text, is "word"`,
		"validation.problems.instruction: has places but not always {{question}}",
	}
	if code != ExitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("%q does not say %q", stderr, w)
		}
	}
}
