package generations

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "set_t1.0_p1.0_n2-MNT8.jsonl")
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func line(id int, response string) string {
	return fmt.Sprintf(`{"example_id": %d, "prompt": "p%d", "answer": "a%d", "seed": 5, "response": %q}`, id, id, id, response)
}

func TestScan(t *testing.T) {
	long := strings.Repeat("long ", chunk/2) // more than two chunks
	for _, tc := range []struct {
		name, content string
		want          []string // responses
		torn          int      // line; 0 for none
		broken        string
	}{
		{"whole", line(0, "a") + "\n" + line(1, "b") + "\n", []string{"a", "b"}, 0, ""},
		{"no last line break", line(0, "a") + "\n" + line(1, "b"), []string{"a", "b"}, 0, ""},
		{"Windows", line(0, "a") + "\r\n" + line(1, "b") + "\r\n", []string{"a", "b"}, 0, ""},
		{"empty lines and a mark", "\xef\xbb\xbf\n" + line(0, "a") + "\n \n\n", []string{"a"}, 0, ""},
		{"mark before an object", "\xef\xbb\xbf" + line(0, "a"), []string{"a"}, 0, ""},
		{"long", line(0, long) + "\n" + line(1, "b") + "\n" + line(2, long), []string{long, "b", long}, 0, ""},
		{"cut", line(0, "a") + "\n" + line(1, "b")[:40], []string{"a"}, 2, ""},
		{"cut, with a line break", line(0, "a") + "\n" + line(1, "b")[:40] + "\n\n", []string{"a"}, 2, ""},
		{"cut within a character", line(0, "a") + "\n" + `{"response": "` + "\xe4\xb8", []string{"a"}, 2, ""},
		{"zeros of a lost machine", line(0, "a") + "\n\x00\x00\x00", []string{"a"}, 2, ""},
		{"only a cut line", line(0, "a")[:9], nil, 1, ""},
		{"cut in the middle", line(0, "a") + "\n" + line(1, "b")[:40] + "\n" + line(2, "c") + "\n", []string{"a"}, 0, ":2: not JSON: byte 41: text has no end"},
		{"cut and written on", line(0, "a") + "\n" + line(1, "b")[:60] + line(2, "c") + "\n" + line(3, "d") + "\n", []string{"a"}, 0, ":2: not JSON: "},
		{"a field is missing", line(0, "a") + "\n" + `{"example_id": 1}`, []string{"a"}, 0, ":2: answer must be text, is missing"},
		{"empty", "", nil, 0, "has no lines"},
		{"white space", "\n \n", nil, 0, "has no lines"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := write(t, tc.content)
			var got []string
			err := Scan(path, func(at Line, g benchmarks.Generation) error {
				got = append(got, g.Response)
				if whole := tc.content[at.Offset:][:at.Length]; !strings.Contains(whole, fmt.Sprintf(`"p%d"`, g.ExampleID)) || strings.Contains(whole, "\n") {
					t.Errorf("line %d is said to be %.50q", at.Number, whole)
				}
				return nil
			})
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%.500s", d)
			}
			var torn *TornError
			switch {
			case tc.torn > 0:
				if !errors.As(err, &torn) || torn.Line != tc.torn || !strings.HasPrefix(err.Error(), fmt.Sprintf("%s:%d: ", path, tc.torn)) {
					t.Errorf("%v, want a torn line %d", err, tc.torn)
				}
			case tc.broken != "":
				if err == nil || errors.As(err, &torn) || !strings.Contains(err.Error(), tc.broken) || !strings.HasPrefix(err.Error(), path) {
					t.Errorf("%v, want %q", err, tc.broken)
				}
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func TestScanEndsWithDosError(t *testing.T) {
	path, boom := write(t, line(0, "a")+"\n"+line(1, "b")+"\n"), errors.New("boom")
	err := Scan(path, func(at Line, _ benchmarks.Generation) error {
		if at.Number == 2 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || err.Error() != path+":2: boom" {
		t.Errorf("%v", err)
	}
}

func TestIndex(t *testing.T) {
	path := write(t, line(3, "a")+"\n\n"+line(1, "b")+"\n"+line(3, "c")+"\n"+line(9, "d")[:20])
	x, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close() //nolint:errcheck // read only
	if x.Torn == nil || x.Torn.Line != 5 || x.Count != 3 {
		t.Errorf("torn %v, %d lines", x.Torn, x.Count)
	}
	type sample struct {
		id, ordinal, line int
		response          string
	}
	var got []sample
	for _, p := range x.Problems {
		for _, s := range p.Samples {
			g, err := x.Read(p, s)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, sample{g.ExampleID, s.Ordinal, s.Number, g.Response})
		}
	}
	if d := cmp.Diff([]sample{{1, 1, 3, "b"}, {3, 0, 1, "a"}, {3, 2, 4, "c"}}, got, cmp.AllowUnexported(sample{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := os.WriteFile(path, []byte(line(3, "x")+"\n\n"+line(2, "b")+"\n"+line(3, "c")), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Read(x.Problems[0], x.Problems[0].Samples[0]); err == nil || !strings.Contains(err.Error(), path+":3: the file was changed") {
		t.Errorf("another file under the same name: %v", err)
	}
}

func TestIndexRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ path, want string }{
		"two truths":  {write(t, line(1, "a")+"\n"+strings.Replace(line(1, "b"), `"a1"`, `"a2"`, 1)), `:2: the answer of problem 1 is "a2" here and "a1" in line 1`},
		"a folder":    {t.TempDir(), "is not a regular file"},
		"not there":   {"/nowhere/x.jsonl", "/nowhere/x.jsonl"},
		"only a torn": {write(t, line(0, "a")[:9]), ":1: the last line is broken off"},
	} {
		if x, err := OpenIndex(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v; want %q", name, x, err, tc.want)
		}
	}
}

// Whatever the lengths of lines and chunks, what is read is what was written.
func TestScanIndexAndAppendAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "x.jsonl")
	a, err := Append(path, func(benchmarks.Generation) error { return errors.New("nothing is known") })
	if err != nil {
		t.Fatal(err)
	}
	var want []benchmarks.Generation
	alphabet := []rune("ab \n\t\\\"\u2028\u0085é中😀<&\x00")
	for i := range 60 {
		text := make([]rune, rng.IntN(300))
		if i%20 == 7 {
			text = make([]rune, chunk+rng.IntN(100))
		}
		for j := range text {
			text[j] = alphabet[rng.IntN(len(alphabet))]
		}
		g := benchmarks.Generation{ExampleID: rng.IntN(7), Prompt: "p", Answer: "4", Seed: rng.Int64(), Response: string(text), FinishReason: "stop", Tokens: i}
		want = append(want, g)
		if err := a.Add(g); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	var got []benchmarks.Generation
	if err := Scan(path, func(_ Line, g benchmarks.Generation) error { got = append(got, g); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("(-want +got):\n%.2000s", d)
	}
	x, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close() //nolint:errcheck // read only
	seen := 0
	for _, p := range x.Problems {
		for _, s := range p.Samples {
			g, err := x.Read(p, s)
			if err != nil {
				t.Fatal(err)
			}
			if g != want[s.Ordinal] || g.ExampleID != p.ID {
				t.Errorf("sample %d of problem %d is another", s.Ordinal, p.ID)
			}
			seen++
		}
	}
	if seen != len(want) || x.Count != len(want) {
		t.Errorf("%d samples, %d counted, want %d", seen, x.Count, len(want))
	}
}
