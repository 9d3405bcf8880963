package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/perf/measure"
)

func TestWorkload(t *testing.T) {
	o := options{dir: t.TempDir(), bytes: 200, share: 0.1, seed: 1}
	files, err := write(o)
	if err != nil {
		t.Fatal(err)
	}
	total, right := 0, 0
	for _, path := range files {
		err := generations.Scan(path, func(_ generations.Line, g benchmarks.Generation) error {
			total++
			if strings.HasSuffix(g.Response, `\boxed{`+g.Answer+`}`) {
				right++
			}
			if len(g.Response) < 200 || len(g.Response) > 230 {
				t.Errorf("%d bytes", len(g.Response))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != 3*32*4+4*32*2+(50+27+67)*4 || right < total/3 || right > total*2/3 {
		t.Errorf("%d answers, %d of them right", total, right)
	}
	if err := readAll(files); err != nil {
		t.Error(err)
	}
	before, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(o); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(files[0]); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("what is there was written again")
	}
	answers := 0
	for _, s := range sets {
		answers += s.rows * s.n
	}
	if answers != 12_184 {
		t.Errorf("%d answers, the paper has 12,184", answers)
	}
}

func TestContender(t *testing.T) {
	done, err := contender{"sh", []string{"sh", "-c", "exit 0"}}.run(t.Context())
	if err != nil || done.wall <= 0 || done.peak <= 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := (contender{"sh", []string{"sh", "-c", "echo why >&2; exit 3"}}).run(t.Context()); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
}

func TestBars(t *testing.T) {
	of := func(name string, of float64, peak int64) line {
		return line{Name: name, OfWC: measure.Spread{Median: of}, Peak: peak}
	}
	for _, tc := range []struct {
		l    line
		want string
	}{
		{of("read", 0.5, 1), ""}, {of("read", 0.4, 1), "0.40 of wc's speed"}, {of("grade", 0.1, mostBytes), ""},
		{of("grade", 1, mostBytes+(1<<20)), "grade had 501 MiB"}, {of("wc", 0, 1<<40), ""},
	} {
		err := report{Contenders: []line{tc.l}}.held()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc.l, err)
		}
	}
}

// The same answer to the same truth is one pair, whatever is said around it.
func TestDistinct(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from.jsonl")
	text := `{"response":"so \\boxed{1}","ground_truth":"1"}
{"response":"thus \\boxed{1}","ground_truth":"1"}
{"response":"so \\boxed{1}","ground_truth":"2"}
{"response":"so \\boxed{9**9**9}","ground_truth":"1","kind":"adversarial"}
{"response":"no box","ground_truth":"1"}
`
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path, n, err := distinct(from, filepath.Join(dir, "to.jsonl"))
	if err != nil || n != 3 {
		t.Fatalf("%d pairs (%v), want 3", n, err)
	}
	got, err := os.ReadFile(path)
	lines := strings.SplitAfter(text, "\n")
	if want := lines[0] + lines[2] + lines[4]; err != nil || string(got) != want {
		t.Errorf("%s (%v), want\n%s", got, err, want)
	}
}

func TestVerdicts(t *testing.T) {
	for text, want := range map[string][]bool{
		"true\nfalse\n": {true, false},
		"{\"correct\":true}\n{\"correct\":false}\n": {true, false},
		"maybe\n": nil,
		"{}}\n":   nil,
	} {
		path := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := verdicts(path); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v (%v), want %v", text, got, err, want)
		}
	}
}

func TestHeld(t *testing.T) {
	for _, tc := range []struct {
		name   string
		l      duellist
		failed bool
	}{
		{"fast enough", duellist{Name: "official", Least: 1.5, Ours: measure.Spread{Median: 1.5}}, false},
		{"too slow", duellist{Name: "official", Least: 1.5, Ours: measure.Spread{Median: 1.49}}, true},
		{"another verdict", duellist{Name: "official", Least: 1.5, Ours: measure.Spread{Median: 9}, Differ: 1}, true},
		{"another verdict of another grader", duellist{Name: "math-verify", Least: 20, Ours: measure.Spread{Median: 21}, Differ: 1}, false},
	} {
		if err := (&duel{Graders: []duellist{tc.l}}).held(); (err != nil) != tc.failed {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
