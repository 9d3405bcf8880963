package dataset

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzReadJSONL(f *testing.F) {
	f.Add([]byte(`{"problem":"q","answer":"1"}` + "\n" + `{"prompt":[{"content":"q","role":"user"}],"reward_model":{"ground_truth":2}}`))
	f.Add([]byte("\xef\xbb\xbf\r\n{\"problem\":\"q\\ud800\",\"answer\":-1e9,\"id\":null}"))
	f.Add([]byte(`{"prompt":[],"reward_model":{"ground_truth":{}},"extra_info":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzReader(t, readJSONL, b)
	})
}

func FuzzReadParquet(f *testing.F) {
	for _, path := range []string{
		writeParquet(f, 2, verl("a", "q", "1"), verl("b", "q2", "2"), verl("", "q3", "3")),
		writeParquet(f, 9, arena(1, "q", "1"), arena(2, "q2", "2")),
	} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	addForeignParquet(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzReader(t, readParquet, b)
	})
}

// addForeignParquet seeds with every codec, encoding and version of pages.
func addForeignParquet(f *testing.F) {
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) == 0 {
		f.Fatal("no files", err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// fuzzReader wants an error or records that can be trained on, never a panic.
func fuzzReader(t *testing.T, read reader, b []byte) {
	rows := 0
	err := read(bytes.NewReader(b), int64(len(b)), func(r record) error {
		if rows == 10_000 { // a few bytes can be millions of equal rows
			return errors.New("enough")
		}
		if rows++; strings.TrimSpace(r.question) == "" || r.answer == "" || !utf8.ValidString(r.question+r.answer) {
			t.Fatalf("read the record %+v", r)
		}
		return nil
	})
	if err != nil && err.Error() == "" {
		t.Fatal("an error without a text")
	}
}
