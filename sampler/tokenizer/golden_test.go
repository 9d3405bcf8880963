package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The golden files are Hugging Face's own output: testdata/make_golden.py.

// kinds are the model folders of testdata, one for each pipeline.
var kinds = []string{"qwen2", "llama3", "smollm2", "r1", "flags"}

func loadKind(t testing.TB, kind string) *Tokenizer {
	t.Helper()
	tok, err := Load(filepath.Join("testdata", kind))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goldenLines reads a JSONL file, gzipped if its name ends in .gz.
func goldenLines(t testing.TB, name string) []map[string]json.RawMessage {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = bufio.NewScanner(z)
	}
	lines.Buffer(nil, 1<<20)
	var out []map[string]json.RawMessage
	for lines.Scan() {
		line := map[string]json.RawMessage{}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, line)
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// field decodes one field of a golden line; ok is false if the line lacks it.
func field[T any](t testing.TB, line map[string]json.RawMessage, key string) (v T, ok bool) {
	t.Helper()
	raw, ok := line[key]
	if ok {
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("golden field %s: %v", key, err)
		}
	}
	return v, ok
}

// goldenText is the text of a line of texts.jsonl.gz as it is to be encoded,
// and as Hugging Face saw it.
func goldenText(t testing.TB, line map[string]json.RawMessage) (text, seen string) {
	if raw, ok := field[string](t, line, "hex"); ok {
		b, err := hex.DecodeString(raw)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), lossyUTF8(string(b))
	}
	text, _ = field[string](t, line, "text")
	return text, text
}

func TestEncodeDecodeAsHuggingFace(t *testing.T) {
	lines := goldenLines(t, "texts.jsonl.gz")
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			tok := loadKind(t, kind)
			equal := 0
			for _, line := range lines {
				name, _ := field[string](t, line, "name")
				text, seen := goldenText(t, line)
				want, ok := field[[]int32](t, line, kind)
				if !ok {
					t.Fatalf("%s: no golden ids", name)
				}
				got := tok.Encode(text)
				if !slices.Equal(got, want) {
					t.Errorf("%s: Encode(%q)\n got %v\nwant %v", name, text, got, want)
					continue
				}
				decoded, ok := field[string](t, line, kind+"_d")
				if !ok {
					decoded = seen
				}
				plain, ok := field[string](t, line, kind+"_s")
				if !ok {
					plain = decoded
				}
				if got := tok.Decode(want, false); got != decoded {
					t.Errorf("%s: Decode(%v) = %q, want %q", name, want, got, decoded)
					continue
				}
				if got := tok.Decode(want, true); got != plain {
					t.Errorf("%s: Decode(%v, skipSpecial) = %q, want %q", name, want, got, plain)
					continue
				}
				equal++
			}
			t.Logf("%d of %d texts equal", equal, len(lines))
		})
	}
}

func TestDecodeRandomIDsAsHuggingFace(t *testing.T) {
	toks := map[string]*Tokenizer{}
	for _, kind := range kinds {
		toks[kind] = loadKind(t, kind)
	}
	for i, line := range goldenLines(t, "decode.jsonl.gz") {
		kind, _ := field[string](t, line, "kind")
		ids, _ := field[[]int32](t, line, "ids")
		text, _ := field[string](t, line, "text")
		plain, _ := field[string](t, line, "plain")
		if got := toks[kind].Decode(ids, false); got != text {
			t.Errorf("%s/%d: Decode(%v) = %q, want %q", kind, i, ids, got, text)
		}
		if got := toks[kind].Decode(ids, true); got != plain {
			t.Errorf("%s/%d: Decode(%v, skipSpecial) = %q, want %q", kind, i, ids, got, plain)
		}
	}
}
