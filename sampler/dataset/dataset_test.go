package dataset

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
)

func all(t testing.TB, src Source) []sampler.Problem {
	t.Helper()
	var out []sampler.Problem
	for i := range src.Len() {
		p, err := src.Problem(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestOpenReadsBothSchemasInBothFormats(t *testing.T) {
	long := strings.Repeat("x² ≤ ", 40_000) // over a page
	verlWant := []sampler.Problem{
		{ID: "made-0", Question: "What is 1 + 1?", Answer: "2"},
		{ID: "made-1", Question: long, Answer: `\boxed{204}`},
		{ID: "2", Question: "no id\n", Answer: "-3"},
		{ID: "made-0", Question: "What is 1 + 1?", Answer: "2"},
	}
	arenaWant := []sampler.Problem{
		{ID: "1", Question: "Ends in a line break ?\n", Answer: `2^{99}`},
		{ID: "2", Question: "Second", Answer: `\frac{1}{9}`},
	}
	tests := map[string]struct {
		path string
		want []sampler.Problem
	}{
		"verl parquet": {writeParquet(t, 100,
			verl("made-0", "What is 1 + 1?", "2"), verl("made-1", long, `\boxed{204}`), verl("", "no id\n", "-3"), verl("made-0", "What is 1 + 1?", "2"),
		), verlWant},
		"verl parquet in row groups of one": {writeParquet(t, 1,
			verl("made-0", "What is 1 + 1?", "2"), verl("made-1", long, `\boxed{204}`), verl("", "no id\n", "-3"), verl("made-0", "What is 1 + 1?", "2"),
		), verlWant},
		"arena parquet": {writeParquet(t, 100, arena(1, "Ends in a line break ?\n", "2^{99}"), arena(2, "Second", `\frac{1}{9}`)), arenaWant},
		"verl lines": {writeFile(t, "a.jsonl", `{"prompt":[{"role":"user","content":"What is 1 + 1?"}],"reward_model":{"ground_truth":"2"},"extra_info":{"index":"made-0"}}
{"prompt":[{"role":"user","content":"`+long+`"}],"reward_model":{"ground_truth":"\\boxed{204}"},"extra_info":{"index":"made-1"},"data_source":"made"}

{"prompt":[{"role":"user","content":"no id\n"}],"reward_model":{"ground_truth":-3},"extra_info":{}}
{"prompt":[{"content":"What is 1 + 1?"}],"reward_model":{"style":"rule","ground_truth":"2"},"extra_info":{"index":"made-0"}}
`), verlWant},
		"arena lines, CRLF, byte order mark, no last line break": {writeFile(t, "b.JSONL",
			"\xef\xbb\xbf"+`{"problem_idx":1,"problem":"Ends in a line break ?\n","answer":"2^{99}","problem_type":["Algebra"]}`+"\r\n"+
				`{"problem_idx":2,"problem":"Second","answer":"\\frac{1}{9}"}`), arenaWant},
	}
	prints := map[string]string{}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			src := mustOpen(t, tc.path)
			if diff := cmp.Diff(tc.want, all(t, src)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			schema := name[:4]
			if p := prints[schema]; p != "" && p != src.Fingerprint() {
				t.Errorf("fingerprint differs between formats of equal content")
			}
			prints[schema] = src.Fingerprint()
		})
	}
	if prints["verl"] == prints["aren"] {
		t.Error("different datasets have one fingerprint")
	}
}

func TestEqualRowsAreStoredOnce(t *testing.T) {
	var rows []verlRow
	for range 500 {
		rows = append(rows, verl("a", "first", "1"), verl("b", "second", "2"))
	}
	src := mustOpen(t, writeParquet(t, 300, rows...)).(*store)
	if src.Len() != 1000 || len(src.offsets) != 3 {
		t.Errorf("%d rows in %d records, want 1000 in 2", src.Len(), len(src.offsets)-1)
	}
	if p, err := src.Problem(t.Context(), 999); err != nil || p.ID != "b" {
		t.Errorf("last row: %+v, %v", p, err)
	}
}

func TestOpenErrors(t *testing.T) {
	good, err := os.ReadFile(writeParquet(t, 100, verl("a", "q", "1"), verl("b", "q2", "2")))
	if err != nil {
		t.Fatal(err)
	}
	null := verl("a", "q", "1")
	null.RewardModel.GroundTruth = nil
	noPrompt := verl("a", "q", "1")
	noPrompt.Prompt = nil
	two := verl("a", "q", "1")
	two.Prompt = append(two.Prompt, two.Prompt...)
	system := verl("a", "q", "1")
	system.Prompt[0].Role = "system"
	tests := map[string]struct {
		path string
		want string
	}{
		"missing file":           {filepath.Join(t.TempDir(), "none.parquet"), "no such file"},
		"folder":                 {t.TempDir(), "is not a file"},
		"empty file":             {writeFile(t, "a.parquet", ""), "no rows: the file is empty"},
		"blank lines only":       {writeFile(t, "a.jsonl", "\n\n"), "no rows"},
		"parquet without rows":   {writeParquet[verlRow](t, 1), "no rows"},
		"truncated parquet":      {writeFile(t, "a.parquet", string(good[:len(good)-20])), "is truncated"},
		"head of parquet only":   {writeFile(t, "a.parquet", "PAR1"), "is truncated"},
		"footer too long":        {writeFile(t, "a.parquet", "PAR1aaaa\xff\xff\xff\xffPAR1"), "a footer of 4294967295 bytes in a file of 16"},
		"garbage footer":         {writeFile(t, "a.parquet", "PAR1"+strings.Repeat("\xff", 64)+"\x40\x00\x00\x00PAR1"), "is damaged"},
		"garbage pages":          {writeFile(t, "a.parquet", string(clobber(good))), "is damaged"},
		"not parquet":            {writeFile(t, "a.parquet", "<html>"), `is not a parquet file: it begins with "<html>"`},
		"neither":                {writeFile(t, "a.bin", "<html>"), "neither parquet nor JSON lines"},
		"JSON array":             {writeFile(t, "a.json", " [{}]"), "one JSON array"},
		"parquet columns":        {writeParquet(t, 1, struct{ Prompt, Solution string }{"q", "1"}), "it has Prompt, Solution"},
		"parquet null answer":    {writeParquet(t, 1, verl("a", "q", "1"), null), "row 1: reward_model.ground_truth is null"},
		"parquet null prompt":    {writeParquet(t, 1, noPrompt), "row 0: prompt.list.element.content is null"},
		"parquet two messages":   {writeParquet(t, 1, two), "row 0: prompt.list.element.content has 2 entries"},
		"parquet system message": {writeParquet(t, 1, system), `prompt.list.element.role is "system"`},
		"parquet empty answer":   {writeParquet(t, 1, verl("a", "q", "")), "row 0: the answer is empty"},
		"parquet empty problem":  {writeParquet(t, 1, verl("a", " \n", "1")), "row 0: the problem is empty"},
		"parquet not text":       {writeParquet(t, 1, verl("a", "q\xff", "1")), "row 0: read prompt.list.element.content: is not UTF-8"},
		"lines columns":          {writeFile(t, "a.jsonl", `{"prompt":"q","extra_info":{"b":1,"a":2}}`), "line 1: not the JSON of a problem"},
		"lines fields":           {writeFile(t, "a.jsonl", `{"question":"q","answer":null,"extra_info":{"b":1,"a":2}}`), "it has answer (null), extra_info.a, extra_info.b, question"},
		"lines broken":           {writeFile(t, "a.jsonl", "{\"problem\":\"q\",\"answer\":\"1\"}\n\n{\"problem\":\n"), "line 3: not the JSON of a problem"},
		"lines not text":         {writeFile(t, "a.jsonl", "{\"problem\":\"\xff\",\"answer\":\"1\"}"), "line 1: is not UTF-8"},
		"lines boolean answer":   {writeFile(t, "a.jsonl", `{"problem":"q","answer":true}`), "want a string or a number, have true"},
		"lines two messages":     {writeFile(t, "a.jsonl", `{"prompt":[{"content":"a"},{"content":"b"}],"reward_model":{"ground_truth":"1"}}`), "prompt has 2 messages"},
		"lines system message":   {writeFile(t, "a.jsonl", `{"prompt":[{"content":"a","role":"system"}],"reward_model":{"ground_truth":"1"}}`), `prompt[0].role is "system"`},
		"lines no content":       {writeFile(t, "a.jsonl", `{"prompt":[{}],"reward_model":{"ground_truth":"1"}}`), "prompt[0].content is missing"},
		"line too long":          {writeFile(t, "a.jsonl", "{}"+strings.Repeat(" ", maxLine+1)), "line 1: is longer than"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			src, err := Open(t.Context(), tc.path)
			if err == nil {
				t.Fatalf("opened %d rows, want an error with %q", src.Len(), tc.want)
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("error is %q; want the path and %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line: %q", err)
			}
		})
	}
}

// clobber overwrites the pages of a parquet file and leaves its footer.
func clobber(good []byte) []byte {
	b := bytes.Clone(good)
	for i := 4; i < len(b)/3; i++ {
		b[i] ^= 0x5a
	}
	return b
}

func TestOpenSaysWhichErrorItIs(t *testing.T) {
	if _, err := Open(t.Context(), writeFile(t, "a.jsonl", "")); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty file: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Open(ctx, numbered(t, 3)); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenLeavesNoFileBehind(t *testing.T) {
	dir := t.TempDir()
	path := numbered(t, 3)
	t.Setenv("TMPDIR", dir)
	mustOpen(t, path)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "row store") {
		t.Errorf("no TMPDIR: %v", err)
	}
}

func TestProblemRefusesRowsOutside(t *testing.T) {
	src := mustOpen(t, numbered(t, 3))
	for _, i := range []int64{-1, 3} {
		if _, err := src.Problem(t.Context(), i); err == nil {
			t.Errorf("row %d: no error", i)
		}
	}
}

// The authors' own files: not part of the project, found beside it by its makers.
func TestBenchmarks(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "benchmarks")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the nine benchmark files are not at %s", dir)
	}
	tests := []struct {
		name  string
		rows  int64
		first sampler.Problem // question: its first words
	}{
		{"AIME24", 30, sampler.Problem{ID: "AIME24-0", Question: "Every morning Aya goes", Answer: `\boxed{204}`}},
		{"AIME25", 30, sampler.Problem{ID: "AIME25-0", Question: "Find the sum of all integer bases", Answer: "70"}},
		{"AMC23", 40, sampler.Problem{ID: "AMC23-0", Question: "Cities $A$ and $B$", Answer: "27"}},
		{"HMMT25", 30, sampler.Problem{ID: "1", Question: "Compute the sum of the positive divisors", Answer: "103"}},
		{"CMIMC25", 40, sampler.Problem{ID: "1", Question: "Four runners", Answer: `\frac{13}{32}`}},
		{"BRUMO25", 30, sampler.Problem{ID: "1", Question: "One hundred concentric circles", Answer: "2^{99}"}},
		{"MATH-500", 500, sampler.Problem{ID: "MATH-500-0", Question: "Convert the point", Answer: `\left( 3, \frac{\pi}{2} \right)`}},
		{"Minerva", 272, sampler.Problem{ID: "Minerva-0", Question: "Each of the two Magellan", Answer: "1.6"}},
		{"Olympiad-Bench", 674, sampler.Problem{ID: "Olympiad-Bench-0", Question: "Xenia and Sergey", Answer: "2"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			src := mustOpen(t, filepath.Join(dir, tc.name+".parquet"))
			if src.Len() != tc.rows {
				t.Fatalf("%d rows, want %d", src.Len(), tc.rows)
			}
			problems := all(t, src)
			ids := map[string]bool{}
			for _, p := range problems {
				ids[p.ID] = true
				if strings.Contains(p.Question, Instruction) {
					t.Errorf("%s carries the instruction", p.ID)
				}
			}
			if len(ids) != len(problems) {
				t.Errorf("%d IDs for %d problems", len(ids), len(problems))
			}
			got := problems[0]
			if got.ID != tc.first.ID || got.Answer != tc.first.Answer || !strings.HasPrefix(got.Question, tc.first.Question) {
				t.Errorf("first row is %+v, want %+v", got, tc.first)
			}
		})
	}
}
