package dataset

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/parquetfile"
)

func allScalars(t testing.TB, path string) (rows []map[string]string) {
	t.Helper()
	err := Scalars(t.Context(), path, func(v map[string]string) error {
		rows = append(rows, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

type oddRow struct {
	Flag   bool      `parquet:"flag"`
	Ratio  float32   `parquet:"ratio"`
	Score  *float64  `parquet:"score,optional"`
	Bytes  []byte    `parquet:"bytes"`
	Tags   []string  `parquet:"tags,list"`
	Bare   []int64   `parquet:"bare"` // repeated, without the list around it
	Nested [][]int64 `parquet:"nested,list"`
	Parts  []oddPart `parquet:"parts,list"`
	Deep   struct {
		Er struct {
			Est int32 `parquet:"est"`
		} `parquet:"er"`
	} `parquet:"deep"`
}

type oddPart struct {
	A string  `parquet:"a"`
	B *string `parquet:"b,optional"`
}

func TestScalarsOfParquet(t *testing.T) {
	half, b := 0.5, "b2"
	var first, second oddRow
	first.Flag, first.Ratio, first.Score, first.Bytes = true, 0.25, &half, []byte("text")
	first.Tags, first.Bare = []string{"x", "y, z"}, []int64{7, 8}
	first.Parts = []oddPart{{A: "a1"}, {A: "a2", B: &b}}
	first.Deep.Er.Est = -3
	second.Bytes, second.Parts = []byte{0xff, 0xfe}, []oddPart{{A: "a3", B: &b}}
	want := []map[string]string{
		{"flag": "true", "ratio": "0.25", "score": "0.5", "bytes": "text", "tags": "x, y, z", "bare": "7, 8", "parts[0].a": "a1", "deep.er.est": "-3"},
		{"flag": "false", "ratio": "0", "parts[0].a": "a3", "parts[0].b": "b2", "deep.er.est": "0"},
	}
	for _, perGroup := range []int{1, 10} {
		if d := cmp.Diff(want, allScalars(t, writeParquet(t, perGroup, first, second))); d != "" {
			t.Errorf("%d rows a group (-want +got)\n%s", perGroup, d)
		}
	}
}

func TestScalarsOfBothSchemas(t *testing.T) {
	got := allScalars(t, writeParquet(t, 10, verl("made-0", " What? ", `\boxed{204}`)))
	want := []map[string]string{{
		"prompt[0].content": " What? ", "prompt[0].role": "user", "data_source": "made", "reward_model.ground_truth": `\boxed{204}`, "reward_model.style": "rule", "extra_info.index": "made-0",
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	got = allScalars(t, writeParquet(t, 10, arena(5, "q", "a")))
	want = []map[string]string{{"problem_idx": "5", "problem": "q", "answer": "a", "problem_type": "Algebra, Geometry"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestScalarsOfText(t *testing.T) {
	lines := "\xef\xbb\xbf" + `{"prompt":[{"content":"q","role":"user"}],"reward_model":{"ground_truth":-3.50},"level":5,"easy":false,"none":null,"tags":["x",1],"empty":[],"big":12345678901234567890}` +
		"\n\n" + `{"problem":"q2"}` + "\r\n"
	want := []map[string]string{
		{"prompt[0].content": "q", "prompt[0].role": "user", "reward_model.ground_truth": "-3.50", "level": "5", "easy": "false", "tags": "x, 1", "big": "12345678901234567890"},
		{"problem": "q2"},
	}
	if d := cmp.Diff(want, allScalars(t, writeFile(t, "a.jsonl", lines))); d != "" {
		t.Errorf("JSON lines (-want +got)\n%s", d)
	}
	table := "\xef\xbb\xbfproblem,answer,level\r\n\"a, \"\"quoted\"\"\nquestion\",1,5\r\nq2,,\r\n"
	want = []map[string]string{{"problem": "a, \"quoted\"\nquestion", "answer": "1", "level": "5"}, {"problem": "q2", "answer": "", "level": ""}}
	if d := cmp.Diff(want, allScalars(t, writeFile(t, "a.csv", table))); d != "" {
		t.Errorf("CSV (-want +got)\n%s", d)
	}
	want = []map[string]string{{"problem": "a, b", "answer": "1"}}
	if d := cmp.Diff(want, allScalars(t, writeFile(t, "a.TSV", "problem\t answer \na, b\t1\n"))); d != "" {
		t.Errorf("TSV (-want +got)\n%s", d)
	}
}

func TestScalarsErrors(t *testing.T) {
	good, err := os.ReadFile(writeParquet(t, 100, verl("a", "q", "1")))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"missing":       {t.TempDir() + "/none", "no such file"},
		"not parquet":   {writeFile(t, "a.parquet", "<html>"), `not a parquet file: it begins with "<htm"`},
		"truncated":     {writeFile(t, "a.parquet", string(good[:len(good)-9])), "truncated"},
		"garbage pages": {writeFile(t, "a.parquet", string(clobber(good))), "damaged"},
		"broken line":   {writeFile(t, "a.jsonl", "{}\n{\n"), "line 2: not a JSON object"},
		"a list":        {writeFile(t, "a.jsonl", "[1]\n"), "line 1: not a JSON object"},
		"not text":      {writeFile(t, "a.jsonl", "{\"a\":\"\xff\"}\n"), "line 1: is not UTF-8"},
		"short record":  {writeFile(t, "a.csv", "a,b\n1\n"), "line 2: has more or fewer fields"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Scalars(t.Context(), tc.path, func(map[string]string) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("error %v, want the path and %q", err, tc.want)
			}
		})
	}
	stop := errors.New("enough")
	for _, path := range []string{writeParquet(t, 100, verl("a", "q", "1")), writeFile(t, "a.jsonl", "{}"), writeFile(t, "a.csv", "a\n1\n")} {
		if err := Scalars(t.Context(), path, func(map[string]string) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%s: %v, want the callee's error", path, err)
		}
	}
}

// FuzzScalars wants rows or an error, and the same rows again.
func FuzzScalars(f *testing.F) {
	for _, path := range []string{writeParquet(f, 2, verl("a", "q", "1"), verl("", "q3", "3")), writeParquet(f, 9, arena(1, "q", "1")), writeParquet(f, 9, oddRow{Tags: []string{"a"}})} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"a":[{"b":[1,{}]}],"c":{"d":null}}`))
	addForeignParquet(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func() (rows []map[string]string, err error) {
			add := func(v map[string]string) error {
				if len(rows) == 10_000 { // a few bytes can be millions of equal rows
					return errors.New("enough")
				}
				rows = append(rows, maps.Clone(v))
				return nil
			}
			if bytes.HasPrefix(b, parquetfile.Magic) {
				err = parquetScalars(bytes.NewReader(b), int64(len(b)), add)
				return rows, err
			}
			err = errors.Join(jsonScalars(bytes.NewReader(b), add), csvScalars(bytes.NewReader(b), ',', add))
			return rows, err
		}
		rows, err := read()
		again, err2 := read()
		if d := cmp.Diff(rows, again); d != "" || (err == nil) != (err2 == nil) {
			t.Errorf("read twice: %v, %v\n%s", err, err2, d)
		}
	})
}

func TestScalarsRefusesARowWithoutAnEnd(t *testing.T) {
	long := strings.Repeat("y", maxLine+(1<<20))
	for _, tc := range []struct{ path, want string }{
		{writeFile(t, "a.jsonl", "{\"a\":1}\n{\"a\":\""+long+"\"}\n"), "line 2: is longer than 16777216 bytes"},
		{writeFile(t, "a.csv", "a,b\n1,2\n\""+long), "the row after line 2 is longer than 16777216 bytes"},
		{writeParquet(t, 9, arena(1, "q", "1"), arena(2, long, "2")), "row 1: problem has more than 16777216 bytes in one row"},
	} {
		err := Scalars(t.Context(), tc.path, func(map[string]string) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
}
