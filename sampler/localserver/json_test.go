package localserver

import (
	"bytes"
	stdjson "encoding/json"
	"strings"
	"testing"
)

// FuzzScanner holds the scanner to encoding/json: they accept the same, but
// for the numbers that only Python's JSON has and for depth.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e3,-0,"x\n\u00e9",null,true,false,{}],"b":[]}`, `{"a":NaN}`, `[-Infinity,Infinity]`, `{"a":01}`, `{"a":1,}`, `[1,]`,
		`"\x"`, `"\u12"`, `{`, `[`, `"`, `-`, `1.`, `1e`, `{"a" 1}`, `{'a':1}`, `{"a":1}{}`, "\"a\nb\"", ` `, ``, "\"\xff\"", `{"\ud800":1}`,
		strings.Repeat("[", maxDepth+10), strings.Repeat(`{"a":`, 20),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		scan := scanner{b: body}
		ok := scan.document()
		if ok == (scan.err != nil || scan.tooDeep) {
			t.Fatalf("%q: ok is %v, error %v", body, ok, scan.err)
		}
		if scan.err != nil && (scan.err.at < 0 || scan.err.at > len(body)) {
			t.Fatalf("%q: an error at %d", body, scan.err.at)
		}
		pythons := bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity"))
		if want := stdjson.Valid(body); ok != want && !pythons && !scan.tooDeep {
			t.Fatalf("%q: accepted is %v, encoding/json's is %v (%v)", body, ok, want, scan.err)
		}
		if !ok {
			return
		}
		root := bytes.Trim(body, " \t\r\n")
		use(root)
	})
}

// use reads a scanned value in every way; it must not panic.
func use(raw []byte) {
	_, _ = summary(raw), plain(raw)
	switch kindOf(raw) {
	case kindObject:
		for _, x := range object(raw) {
			use(x)
		}
	case kindList:
		for _, x := range list(raw) {
			use(x)
		}
	case kindString:
		_, _ = unquote(raw), lonely(raw)
	}
	p := &problems{}
	p.lax(raw, "a")
	p.laxFloat(raw, "a")
	if bad := p.refusal(); bad != nil {
		_ = bad.body()
	}
}

func TestLonelySurrogates(t *testing.T) {
	for raw, want := range map[string]bool{
		`"a"`: false, `"\u00e9"`: false, `"\ud83d\ude00"`: false, `"\ud83d"`: true, `"\ude00"`: true, `"\ud83dx\ude00"`: true,
		`"\ud83d\ud83d\ude00"`: true, `"\\ud83d"`: false, `"\ud83d\\ude00"`: true,
	} {
		if lonely([]byte(raw)) != want {
			t.Errorf("%s: %v, want %v", raw, !want, want)
		}
	}
}

func TestPythonsWords(t *testing.T) {
	for got, want := range map[string]string{
		pyString("it's"): `"it's"`, pyString(`it's "so"`): `'it\'s "so"'`, pyString("a\n\\\x01é\u200b"): `'a\n\\\x01é\u200b'`,
		pyFloat(1): "1.0", pyFloat(-2.5): "-2.5", pyFloat(1e-7): "1e-07", pyFloat(1e20): "1e+20", pyFloat(123456): "123456.0", pyFloat(0): "0.0",
		pyFloat(float([]byte("-Infinity"))): "-inf", pyFloat(float([]byte("1e999"))): "inf", pyFloat(float([]byte("NaN"))): "nan",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
