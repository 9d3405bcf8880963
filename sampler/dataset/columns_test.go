package dataset

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
)

func openColumns(t *testing.T, path string, c Columns) (Source, error) {
	t.Helper()
	src, err := OpenColumns(t.Context(), path, c)
	if err == nil {
		t.Cleanup(func() {
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return src, err
}

type choiceRow struct {
	Name string `parquet:"name"`
	QA   struct {
		Text  string  `parquet:"text"`
		Label float32 `parquet:"label"`
	} `parquet:"qa"`
	Choices struct {
		Text []string `parquet:"text,list"`
	} `parquet:"choices"`
	Turns []struct {
		Role, Content string
	} `parquet:"turns,list"`
	Sure bool `parquet:"sure"`
}

func choiceRows() []choiceRow {
	rows := make([]choiceRow, 2)
	for i := range rows {
		r := &rows[i]
		r.Name = fmt.Sprintf("n%d", i)
		r.QA.Text, r.QA.Label = fmt.Sprintf("Which, %d?", i), float32(i)
		r.Choices.Text = []string{"a cat", "a dog", "an owl"}[:2+i]
		r.Sure = i == 1
		for j := range 2 {
			r.Turns = append(r.Turns, struct{ Role, Content string }{"user", fmt.Sprintf("turn %d of %d", j, i)})
		}
	}
	return rows
}

// The same problems, from every format and from columns of every shape.
func TestOpenColumns(t *testing.T) {
	two, three := "A. a cat\nB. a dog", "A. a cat\nB. a dog\nC. an owl"
	chosen := []sampler.Problem{{ID: "n0", Question: "Which, 0?", Answer: "A", Choices: two}, {ID: "n1", Question: "Which, 1?", Answer: "B", Choices: three}}
	plain := []sampler.Problem{{ID: "0", Question: "Which, 0?", Answer: "false"}, {ID: "1", Question: "Which, 1?", Answer: "true"}}
	turns := []sampler.Problem{{ID: "0", Question: "turn 1 of 0", Answer: "turn 0 of 0"}, {ID: "1", Question: "turn 1 of 1", Answer: "turn 0 of 1"}}
	rows := writeParquet(t, 1, choiceRows()...)
	lines := writeFile(t, "a.jsonl", `{"name":"n0","qa":{"text":"Which, 0?","label":0},"choices":{"text":["a cat","a dog"]},"options":[{"text":"a cat"},{"text":" a dog "}],"sure":false,"turns":[{"Content":"turn 0 of 0"},{"Content":"turn 1 of 0"}]}

{"name":"n1","qa":{"text":"Which, 1?","label":1},"choices":{"text":["a cat","a dog","an owl"]},"options":[{"text":"a cat"},{"text":"a dog"},{"text":"an owl"},{"text":null}],"sure":true,"turns":[{"Content":"turn 0 of 1"},{"Content":"turn 1 of 1"}]}
`)
	table := writeFile(t, "a.csv", "\xef\xbb\xbfname,question,a,b,c,right\r\nn0,\"Which, 0?\",a cat,a dog,,a\r\n\r\nn1,\"Which, 1?\",a cat,\" a dog\",an owl,B")
	for _, tc := range []struct {
		name, path string
		c          Columns
		want       []sampler.Problem
	}{
		{"parquet, a list", rows, Columns{Question: "qa.text", Answer: "qa.label", ID: "name", Choices: []string{"choices.text"}, AnswerIs: AnswerIsIndex}, chosen},
		{"lines, a list", lines, Columns{Question: "qa.text", Answer: "qa.label", ID: "name", Choices: []string{"choices.text"}, AnswerIs: AnswerIsIndex}, chosen},
		{"lines, a list of objects", lines, Columns{Question: "qa.text", Answer: "qa.label", ID: "name", Choices: []string{"options.text"}, AnswerIs: AnswerIsIndex}, chosen},
		{"CSV, columns, letters", table, Columns{Question: "question", Answer: "right", ID: "name", Choices: []string{"a", "b", "c"}}, chosen},
		{"tabs", writeFile(t, "a.tsv", "q\tl\tr\tn\tname\nWhich, 0?\ta cat\ta dog\t1\tn0\n"), Columns{Question: "q", Answer: "n", ID: "name", Choices: []string{"l", "r"}, AnswerIs: AnswerIsNumber}, chosen[:1]},
		{"CSV, a text", writeFile(t, "b.csv", "q,l,r,n,id\n\"Which, 0?\",a cat,a dog, a cat ,n0\n"), Columns{Question: "q", Answer: "n", Choices: []string{"l", "r"}, AnswerIs: AnswerIsText}, chosen[:1]},
		{"parquet, a truth value", rows, Columns{Question: "qa.text", Answer: "sure"}, plain},
		{"lines, a truth value", lines, Columns{Question: "qa.text", Answer: "sure"}, plain},
		{"parquet, one of a list", rows, Columns{Question: "turns[1].Content", Answer: "turns[0].Content"}, turns},
		{"lines, one of a list", lines, Columns{Question: "turns[1].Content", Answer: "turns[0].Content"}, turns},
		{"CSV without a mapping", writeFile(t, "c.csv", "id,problem,answer\nx,\"two\nlines, \"\"quoted\"\"\",1\n,second,2\n"), Columns{},
			[]sampler.Problem{{ID: "x", Question: "two\nlines, \"quoted\"", Answer: "1"}, {ID: "1", Question: "second", Answer: "2"}}},
		{"lines, the paper's sentence is taken off", writeFile(t, "d.jsonl", `{"q":"What? `+strings.ReplaceAll(Instruction, `\`, `\\`)+`","a":1e3}`), Columns{Question: "q", Answer: "a"},
			[]sampler.Problem{{ID: "0", Question: "What?", Answer: "1e3"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, err := openColumns(t, tc.path, tc.c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, all(t, src)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The known schemas, named, are the known schemas.
func TestColumnsOfTheKnownSchema(t *testing.T) {
	for _, path := range []string{
		writeParquet(t, 2, verl("a", "q", "1"), verl("b", "q2", "2"), verl("", "q3", "3")),
		writeFile(t, "a.jsonl", `{"prompt":[{"role":"user","content":"q"}],"reward_model":{"ground_truth":7},"extra_info":{"index":"a"}}`),
	} {
		want := mustOpen(t, path)
		got, err := openColumns(t, path, Columns{Question: "prompt[0].content", Answer: "reward_model.ground_truth"})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all(t, want), all(t, got)); d != "" || want.Fingerprint() != got.Fingerprint() {
			t.Errorf("%s (-as ever +mapped):\n%s", path, d)
		}
	}
}

func TestColumnsErrors(t *testing.T) {
	q := Columns{Question: "q", Answer: "a"}
	abc := Columns{Question: "q", Answer: "a", Choices: []string{"c"}}
	with := func(c Columns, is string) Columns { c.AnswerIs = is; return c }
	rows := writeParquet(t, 9, choiceRows()...)
	for name, tc := range map[string]struct {
		path string
		c    Columns
		want string
	}{
		"question alone":             {"x", Columns{Question: "q"}, "question and answer: other columns need both"},
		"choices alone":              {"x", Columns{Choices: []string{"c"}}, "question and answer"},
		"answer_is without choices":  {"x", with(q, "text"), "answer_is: is about choices"},
		"answer_is of no kind":       {"x", with(abc, "word"), `must be letter, index, number or text, is "word"`},
		"no column":                  {"x", Columns{Question: "q[", Answer: "a"}, `question: "q[" is no column`},
		"an empty step":              {"x", Columns{Question: "q", Answer: "a..b"}, `answer: "a..b" is no column`},
		"lines missing":              {writeFile(t, "a.jsonl", `{"q":"x","b":1}`), q, "line 1: a is missing or null"},
		"lines null":                 {writeFile(t, "a.jsonl", "{\"q\":\"x\",\"a\":1}\n{\"q\":null,\"a\":1}"), q, "line 2: q is missing or null"},
		"lines object":               {writeFile(t, "a.jsonl", `{"q":{"x":1},"a":1}`), q, "line 1: q is an object"},
		"lines list":                 {writeFile(t, "a.jsonl", `{"q":["x","y"],"a":1}`), q, "line 1: q is a list of 2"},
		"lines list of lists":        {writeFile(t, "a.jsonl", `{"q":[["x"]],"a":1}`), q, "line 1: q is a list of lists"},
		"lines index of no list":     {writeFile(t, "a.jsonl", `{"q":"x","a":1}`), Columns{Question: "q[0]", Answer: "a"}, "q[0] has an index where the row has no list"},
		"lines index too far":        {writeFile(t, "a.jsonl", `{"q":["x"],"a":1}`), Columns{Question: "q[1]", Answer: "a"}, "q[1] is missing or null"},
		"lines no id":                {writeFile(t, "a.jsonl", `{"q":"x","a":1}`), Columns{Question: "q", Answer: "a", ID: "n"}, "n is missing or null"},
		"lines empty answer":         {writeFile(t, "a.jsonl", `{"q":"x","a":""}`), q, "the answer is empty"},
		"lines broken":               {writeFile(t, "a.jsonl", "{\"q\":\"x\",\"a\":1}\n{"), q, "line 2: not the JSON"},
		"one choice":                 {writeFile(t, "a.jsonl", `{"q":"x","a":"A","c":["y",""]}`), abc, "has 1 choices, want 2 to 26"},
		"too many choices":           {writeFile(t, "a.jsonl", `{"q":"x","a":"A","c":[`+strings.Repeat("1,", 26)+`1]}`), abc, "has 27 choices"},
		"an empty choice":            {writeFile(t, "a.jsonl", `{"q":"x","a":"A","c":["","y"]}`), abc, "choice 1 of 2 is empty"},
		"a letter too far":           {writeFile(t, "a.jsonl", `{"q":"x","a":"C","c":["x","y"]}`), abc, `the answer "C" is the letter of none of the 2 choices`},
		"a letter that is none":      {writeFile(t, "a.jsonl", `{"q":"x","a":"[","c":["x","y"]}`), abc, `the answer "[" is the letter of none`},
		"an index too far":           {writeFile(t, "a.jsonl", `{"q":"x","a":2,"c":["x","y"]}`), with(abc, "index"), `the answer "2" is the index of none`},
		"a number too small":         {writeFile(t, "a.jsonl", `{"q":"x","a":0,"c":["x","y"]}`), with(abc, "number"), `the answer "0" is the number of none`},
		"no number":                  {writeFile(t, "a.jsonl", `{"q":"x","a":"A","c":["x","y"]}`), with(abc, "index"), `the answer "A" is the index of none`},
		"no text":                    {writeFile(t, "a.jsonl", `{"q":"x","a":"z","c":["x","y"]}`), with(abc, "text"), `the answer "z" is the text of none`},
		"a text twice":               {writeFile(t, "a.jsonl", `{"q":"x","a":"y","c":["y","y"]}`), with(abc, "text"), `the text of two choices`},
		"parquet missing":            {rows, q, "has no column q; it has name, qa.text"},
		"parquet index of no list":   {rows, Columns{Question: "name[0]", Answer: "name"}, "name[0] has an index, and the column is no list"},
		"parquet list":               {rows, Columns{Question: "choices.text", Answer: "name"}, "row 0: choices.text is a list of 2"},
		"parquet group":              {rows, Columns{Question: "qa", Answer: "name"}, "has no column qa"},
		"CSV missing":                {writeFile(t, "a.csv", "q,b\n1,2\n"), q, "line 1: has no column a; it has q, b"},
		"CSV without a mapping":      {writeFile(t, "a.csv", "q,a\n1,2\n"), Columns{}, "line 1: has no column problem; it has q, a"},
		"CSV header twice":           {writeFile(t, "a.csv", "q,a, q\n1,2,3\n"), q, `line 1: the header has "q" twice`},
		"CSV fields":                 {writeFile(t, "a.csv", "q,a\n1,2\n\"x\ny\",2,3\n"), q, "line 3: has more or fewer fields than the header"},
		"CSV quote":                  {writeFile(t, "a.csv", "q,a\n1,2\nx\"y,2\n"), q, "line 3: a quote is not closed"},
		"CSV quote that is not shut": {writeFile(t, "a.csv", "q,a\n1,2\n\"x,2\n3,4\n"), q, "a quote is not closed, or stands within a field (the row begins on line 3)"},
		"CSV endless quote":          {writeFile(t, "a.csv", "q,a\n1,2\n\"x"+strings.Repeat("yyyyyyy\n", 3<<20)), q, "the row after line 2 is longer than 16777216 bytes"},
		"CSV empty answer":           {writeFile(t, "a.csv", "q,a\n1,2\n\"x\ny\",\n"), q, "line 3: the answer is empty"},
		"CSV not text":               {writeFile(t, "a.csv", "q,a\n1,2\n\xff,2\n"), q, "line 3: q is not UTF-8"},
		"CSV header alone":           {writeFile(t, "a.csv", "q,a\n"), q, "no rows"},
		"CSV without a header":       {writeFile(t, "a.csv", "\n\n"), q, "no rows: the file has no header row"},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := openColumns(t, tc.path, tc.c)
			if err == nil {
				t.Fatalf("opened %d rows, want an error with %q", src.Len(), tc.want)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %q; want one line with %q", err, tc.want)
			}
			if tc.path != "x" && !strings.Contains(err.Error(), tc.path) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}

// A header of a million rows of CSV is read in bounded memory: what is held is
// a row, and what the store remembers of each.
func TestCSVMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("problem,answer,rest\n")
	rest := strings.Repeat("z", 1000)
	for i := range 20_000 {
		fmt.Fprintf(&b, "q%d,%d,%s\n", i%100, i%100, rest)
	}
	path := writeFile(t, "big.csv", b.String())
	b.Reset()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	src := mustOpen(t, path)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if src.Len() != 20_000 {
		t.Errorf("%d rows", src.Len())
	}
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2<<20 {
		t.Errorf("holds %d bytes of a file of 20 MB", held)
	}
	runtime.KeepAlive(src)
}

func TestMessage(t *testing.T) {
	p := sampler.Problem{Question: "Which {{choices}}?\n", Choices: "A. x\nB. y"}
	for _, tc := range []struct {
		name        string
		p           sampler.Problem
		instruction string
		want        string
	}{
		{"the paper's", sampler.Problem{Question: "What?"}, "", "What?\n\n" + Instruction},
		{"the paper's, with choices", p, "", "Which {{choices}}?\nA. x\nB. y\n\n" + Instruction},
		{"its own", sampler.Problem{Question: "What?"}, "Answer: …", "What?\n\nAnswer: …"},
		{"its own, with choices", p, "One letter.", "Which {{choices}}?\nA. x\nB. y\n\nOne letter."},
		{"a template", p, "Q: {{question}}Of {{choices}}\nA:", "Q: Which {{choices}}?\nOf A. x\nB. y\nA:"},
		{"a template without choices", p, "Q: {{question}}\nA:", "Q: Which {{choices}}?\nA. x\nB. y\nA:"},
		{"LaTeX", sampler.Problem{Question: "What?"}, `As \text{question}: \boxed{}.`, "What?\n\n" + `As \text{question}: \boxed{}.`},
		{"choices if there are any", sampler.Problem{Question: "What?"}, "{{question}}{{if choices}}\nOf\n{{choices}}{{end}}", "What?"},
		{"choices, since there are some", p, "{{question}}{{if choices}}Of\n{{choices}}{{end}}", "Which {{choices}}?\nOf\nA. x\nB. y"},
		{"the question alone", sampler.Problem{Question: "What?"}, "{{question}}", "What?"},
	} {
		m, err := ParseMessage(tc.instruction)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got, err := m.Of(tc.p); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
	for instruction, want := range map[string]string{
		"{{choices}}":                           "has places but not always {{question}}",
		"{{if choices}}{{question}}{{end}}":     "has places but not always {{question}}",
		"Q: {question}\nA:":                     "line 1: {question} is not filled in: write {{question}}",
		"{{question}}\nOne letter of {choices}": "line 2: {choices} is not filled in: write {{choices}}",
	} {
		if _, err := ParseMessage(instruction); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", instruction, err, want)
		}
	}
}

func fuzzColumns() *mapping {
	m, err := Columns{Question: "q.t", Answer: "a", Choices: []string{"c", "d[1]"}, AnswerIs: AnswerIsIndex}.mapping()
	if err != nil {
		panic(err)
	}
	return m
}

func FuzzMappedJSONL(f *testing.F) {
	f.Add([]byte(`{"q":{"t":"x"},"a":0,"c":["y"],"d":[1,2]}`))
	f.Add([]byte(`{"q":[{"t":"x"}],"a":true,"c":[{}],"d":[]}`))
	f.Add([]byte(`{"q":[null,{"t":null}],"a":"\ud800","c":null,"d":{"t":[[]]}}`))
	m := fuzzColumns()
	f.Fuzz(func(t *testing.T, b []byte) { fuzzReader(t, jsonlReader(m.parseLine), b) })
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("problem,answer,id\n\"a\nb\",1,\n"))
	f.Add([]byte("\xef\xbb\xbfanswer,problem\r\n\"\"\"\",x"))
	m, err := knownCSV.mapping()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) { fuzzReader(t, m.csvReader(','), b) })
}

func FuzzMappedParquet(f *testing.F) {
	b, err := os.ReadFile(writeParquet(f, 1, choiceRows()...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	m, err := Columns{Question: "turns[1].Content", Answer: "qa.label", Choices: []string{"choices.text"}, AnswerIs: AnswerIsIndex}.mapping()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) { fuzzReader(t, m.readParquet, b) })
}

// A column may have the name that writers give to a list's inner group, or be
// the only one of its group.
func TestLeafNames(t *testing.T) {
	type inner struct {
		List    string   `parquet:"list"`
		Element []string `parquet:"element,list"`
		Bare    []string `parquet:"bare"`
		Only    struct {
			Tags []string `parquet:"tags"`
		} `parquet:"only"`
	}
	var row inner
	row.List, row.Element, row.Bare, row.Only.Tags = "l", []string{"e0", "e1"}, []string{"b0", "b1"}, []string{"t0"}
	path := writeParquet(t, 1, row)
	for column, want := range map[string]string{"list": "l", "element[1]": "e1", "bare[0]": "b0", "only.tags[0]": "t0"} {
		src, err := openColumns(t, path, Columns{Question: column, Answer: "list"})
		if err != nil {
			t.Errorf("%s: %v", column, err)
			continue
		}
		if p := all(t, src)[0]; p.Question != want {
			t.Errorf("%s: %q, want %q", column, p.Question, want)
		}
	}
}
