package generations

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
)

// wtf8 joins code points, lone surrogates included.
func wtf8(points []rune) string {
	var b []byte
	for _, r := range points {
		var one [4]byte
		b = append(b, one[:encode(one[:], r)]...)
	}
	return string(b)
}

// What Python reads is read the same or refused, and what it refuses is too.
func TestDecodeAsPython(t *testing.T) {
	b, err := os.ReadFile("testdata/lines.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Line       string
		ID               int
		Response, Answer []rune
		Refused          bool
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	// What int() takes and this refuses: a fraction is no id.
	narrower := map[string]bool{"id is a fraction": true}
	var s scanner
	for _, c := range cases {
		r, err := s.decode([]byte(c.Line))
		if c.Refused || narrower[c.Name] {
			if err == nil {
				t.Errorf("%s: %s was taken", c.Name, c.Line)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		g := r.generation()
		if g.ExampleID != c.ID || g.Response != wtf8(c.Response) || g.Answer != wtf8(c.Answer) {
			t.Errorf("%s: %+v, want %d, %q, %q", c.Name, g, c.ID, wtf8(c.Response), wtf8(c.Answer))
		}
	}
	if len(cases) < 40 {
		t.Errorf("only %d cases", len(cases))
	}
}

func TestDecodeRefuses(t *testing.T) {
	const rest = `,"answer":"4","response":"r"}`
	var s scanner
	for _, tc := range []struct{ name, line, want string }{
		{"too deep", `{"x":` + strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5) + `,"example_id":1` + rest, "nest deeper"},
		{"negative id", `{"example_id":-1` + rest, "example_id must be the number of a problem"},
		{"huge id", `{"example_id":1e15` + rest, "example_id must be the number of a problem"},
		{"id is true", `{"example_id":true` + rest, "example_id must be a whole number, is true or false"},
		{"seed is a list", `{"seed":[],"example_id":1` + rest, "seed must be a whole number, is a list"},
		{"response is a number", `{"example_id":1,"answer":"4","response":4}`, "response must be text, is a number"},
		{"answer is null", `{"example_id":1,"answer":null,"response":"r"}`, "answer must be text, is null"},
		{"answer is missing", `{"example_id":1,"response":"r"}`, "answer must be text, is missing"},
		{"prompt is a list", `{"example_id":1,"prompt":[]` + rest, "prompt must be text, is a list"},
		{"not UTF-8", "{\"example_id\":1,\"answer\":\"4\",\"response\":\"\xff\"}", "byte 42 is not UTF-8"},
		{"a list", `[1]`, "must be a JSON object, is a list"},
	} {
		if _, err := s.decode([]byte(tc.line)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestDecodeOurOwnFields(t *testing.T) {
	var s scanner
	for line, want := range map[string]benchmarks.Generation{
		`"seed":"-5","prompt":null,"finish_reason":"length","tokens":12`: {Seed: -5, FinishReason: "length", Tokens: 12},
		`"seed":null,"finish_reason":null,"tokens":[1,2]`:                {},
		`"tokens":-1`: {},
	} {
		want.ExampleID, want.Answer, want.Response = 1, "4", "r"
		r, err := s.decode([]byte(`{` + line + `,"example_id":1,"answer":"4","response":"r"}`))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if d := cmp.Diff(want, r.generation()); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
}

// encoding/json is the judge wherever it and Python agree.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"example_id":1,"prompt":"\ud83d\ude00 p","answer":"4","seed":9,"response":"a\\b\n\u0041","finish_reason":"stop","tokens":3,"x":[{"y":-1.5e3},null,true]}`))
	f.Add([]byte(`{"example_id":"7","answer":"","response":""}`))
	f.Add([]byte(`{"example_id":NaN,"answer":"\ud800","response":"\u00zz"}`))
	var warm scanner // its memory is used again
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := warm.decode(line)
		var fresh scanner
		again, err2 := fresh.decode(line)
		if (err == nil) != (err2 == nil) || err == nil && r.generation() != again.generation() {
			t.Fatalf("a used scanner reads %+v, %v, a new one %+v, %v", r, err, again, err2)
		}
		var want map[string]any
		valid := json.Valid(line) && utf8.Valid(line) && json.Unmarshal(line, &want) == nil
		if err != nil {
			return
		}
		if !valid {
			if !strings.Contains(string(line), "NaN") && !strings.Contains(string(line), "Infinity") {
				t.Fatalf("%q was taken", line)
			}
			return
		}
		got := r.generation()
		if loneSurrogate(got.Response) || loneSurrogate(got.Answer) {
			return // encoding/json replaces them
		}
		if response, _ := want["response"].(string); response != got.Response {
			t.Fatalf("response %q, want %q", got.Response, response)
		}
		if answer, _ := want["answer"].(string); answer != got.Answer {
			t.Fatalf("answer %q, want %q", got.Answer, answer)
		}
	})
}

func loneSurrogate(s string) bool { return !utf8.ValidString(s) }

func TestSurrogatesStayApart(t *testing.T) {
	seen := map[string]rune{}
	for r := rune(0xD7FE); r < 0xE003; r++ {
		s := wtf8([]rune{r})
		if other, ok := seen[s]; ok {
			t.Fatalf("%U and %U are both %q", r, other, s)
		}
		if utf16.IsSurrogate(r) == utf8.ValidString(s) {
			t.Fatalf("%U is %q", r, s)
		}
		seen[s] = r
	}
}
