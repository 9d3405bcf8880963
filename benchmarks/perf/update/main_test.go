package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/benchmarks/perf/update/wire"
)

// program writes a contender that answers as a real one does and notes each
// question in the file log.
func program(t *testing.T, name, log, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	script := "#!/bin/sh\necho '{}'\nwhile read question; do\n\techo " + name + " >>" + log + "\n\techo '" + answer + "'\ndone\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux alone has /proc/PID/status")
	}
	const mine = `{"seconds":2,"losses":[0.5,1],"grad_norms":[2,1]}`
	for _, tc := range []struct {
		name, theirs string
		want         error
		report       []string
	}{
		{"they agree", `{"seconds":3,"old_seconds":2,"first_old_seconds":1,"losses":[0.50004,1.00009],"grad_norms":[2.0001,0.99995]}`, nil,
			[]string{"1.50 (1.50–1.50)", "1.00 (1.00–1.00)", "reached in 3 rounds of 3"}},
		{"another loss", `{"seconds":1,"losses":[0.5001,1],"grad_norms":[2,1]}`, errDisagree, []string{"DISAGREE", "update 1's loss is 0.5 and 0.5001", "MISSED in 3 rounds of 3"}},
		{"another gradient", `{"seconds":1,"losses":[0.5,1],"grad_norms":[2.001,1]}`, errDisagree, []string{"update 1's gradient norm is 2 and 2.001"}},
		{"another second update", `{"seconds":1,"losses":[0.5,9],"grad_norms":[2,1]}`, errDisagree, []string{"update 2's loss is 1 and 9"}},
		{"fewer updates", `{"seconds":1,"losses":[0.5],"grad_norms":[2]}`, errDisagree, []string{"2 losses and 2 gradient norms against 1 and 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			log, file := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "report.json")
			args := []string{
				"--ours", program(t, "mine", log, mine), "--python", program(t, "theirs", log, tc.theirs), "--json", file,
				"--checks", "speed", "--models", "tiny", "--contenders", "best", "--pairs", "3", "--problems", "2",
			}
			var stdout, stderr strings.Builder
			if err := run(context.Background(), args, &stdout, &stderr); !errors.Is(err, tc.want) {
				t.Fatalf("%v, want %v; %s", err, tc.want, stderr.String())
			}
			for _, want := range tc.report {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("the report does not say %q:\n%s", want, stdout.String())
				}
			}
			turns, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			// To warm up, then first to last and last to first by turns.
			if got, want := strings.Join(strings.Fields(string(turns)), " "), "mine theirs theirs mine mine theirs theirs mine"; got != want {
				t.Errorf("turns %s, want %s", got, want)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r report
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Contests) != 1 || len(r.Contests[0].Entries) != 2 || len(r.Contests[0].Entries[1].Steps) != 3 || r.disagree() != (tc.want != nil) {
				t.Errorf("in the file: %s", b)
			}
			if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRatios(t *testing.T) {
	c := contest{Tokens: 600, Entries: []*entry{
		{Name: ours, Growth: 50, Steps: []wire.Step{{Seconds: 1}, {Seconds: 2}, {Seconds: 4}}},
		{Name: best, Growth: 80, Steps: []wire.Step{{Seconds: 3, FirstOldSeconds: 1}, {Seconds: 2, FirstOldSeconds: 1}, {Seconds: 6, FirstOldSeconds: 2}}},
	}}
	e := c.Entries[1]
	for _, x := range []struct {
		name string
		got  measure.Spread
		want measure.Spread
	}{
		{"speed", c.speed(e), measure.Spread{Median: 200, Min: 100, Max: 300}},
		{"ratio", c.ratio(e, false), measure.Spread{Median: 1.5, Min: 1, Max: 3}}, // 3, 1, 1.5: of rounds, not of medians
		{"spared", c.ratio(e, true), measure.Spread{Median: 1, Min: 0.5, Max: 2}},
	} {
		if x.got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, x.got, x.want)
		}
	}
	if got := c.growth(e); got != 0.625 {
		t.Errorf("growth %g", got)
	}
}

// A median of few rounds is no median: the verdict says in how many it holds.
func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		seconds []float64 // theirs; ours takes 1
		want    string
	}{
		{[]float64{13, 12}, "reached in 2 rounds of 2"},
		{[]float64{13, 11.5}, "reached in 1 round of 2"},
		{[]float64{11}, "MISSED in 1 round of 1"},
		{[]float64{11, 12.5, 11}, "MISSED in 2 rounds of 3"},
		{[]float64{11, 11, 12, 13, 14}, "reached"},
		{[]float64{11, 11, 11, 13, 14}, "MISSED"},
	} {
		c, e := contest{Entries: []*entry{{}}}, &entry{}
		for _, s := range tc.seconds {
			c.Entries[0].Steps = append(c.Entries[0].Steps, wire.Step{Seconds: 1})
			e.Steps = append(e.Steps, wire.Step{Seconds: s})
		}
		if got := c.verdict(e, 12); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.seconds, got, tc.want)
		}
	}
}

func TestDisagree(t *testing.T) {
	a := wire.Step{Losses: []float64{-0.2}, GradNorms: []float64{3}}
	for _, tc := range []struct {
		name       string
		loss, norm float64
		want       string
	}{
		{"equal", -0.2, 3, ""},
		{"rounded", -0.20001, 3.0002, ""},
		{"another sign", 0.2, 3, "loss"},
		{"another loss", -0.20003, 3, "loss"},
		{"another gradient", -0.2, 3.001, "gradient norm"},
		{"no number", math.NaN(), 3, "loss"},
	} {
		b := wire.Step{Losses: []float64{tc.loss}, GradNorms: []float64{tc.norm}}
		if got := disagree(a, b, agreement); tc.want == "" != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	two := wire.Step{Losses: []float64{-0.2, -0.2}, GradNorms: []float64{3, 3}}
	for _, tc := range []struct {
		first, second, later float64
		want                 string
	}{
		{3, 3.0008, agreement, "update 2's gradient norm"},
		{3, 3.0008, 1e-3, ""},
		{3, 3.004, 1e-3, "update 2's gradient norm"},
		{3.0008, 3, 1e-3, "update 1's gradient norm"}, // the first is from the same weights
	} {
		if got := disagree(two, wire.Step{Losses: two.Losses, GradNorms: []float64{tc.first, tc.second}}, tc.later); tc.want == "" != (got == "") || !strings.HasPrefix(got, tc.want) {
			t.Errorf("%+v: %q", tc, got)
		}
	}
	near := wire.Step{Losses: []float64{0}, GradNorms: []float64{3}}
	for loss, want := range map[float64]bool{0: false, 9e-7: false, 2e-6: true} {
		if got := disagree(near, wire.Step{Losses: []float64{loss}, GradNorms: []float64{3}}, agreement); want != (got != "") {
			t.Errorf("0 and %g: %q", loss, got)
		}
	}
}

func TestMemoryReports(t *testing.T) {
	m := memoryResult{Model: "m", Packs: []packMemory{
		{Tokens: 4096, Sequences: 4, Longest: 1024, Peak: 1_000_000_000},
		{Tokens: 8192, Sequences: 8, Longest: 1024, Peak: 1_409_600_000},
		{Tokens: 16384, Sequences: 16, Longest: 1024, Peak: 3_048_000_000},
		{Tokens: 16384, Sequences: 2, Longest: 16000, Peak: 2_900_000_000},
		{Tokens: 4096, Sequences: 4, Longest: 1024, Peak: 900_000_000, Recompute: true},
		{Tokens: 8192, Sequences: 8, Longest: 1024, Peak: 1_104_800_000, Recompute: true},
		{Tokens: 16384, Sequences: 16, Longest: 1024, Peak: 1_514_400_000, Recompute: true},
	}}
	var out strings.Builder
	if err := m.write(&out); err != nil {
		t.Fatal(err)
	}
	want := `
m, two updates on one pack, resident at most (all of the process):
  recompute off     4 × 1024 tokens   1000 MB
  recompute off     8 × 1024 tokens   1409 MB  100.0 kB a token more
  recompute off    16 × 1024 tokens   3048 MB  200.0 kB a token more  bound ≤ 3000 MB: MISSED
  a token takes 2.00 × as much from 8192 to 16384 as from 4096 to 8192, bound ≤ 1.2: MISSED
  recompute off  16000 + 384 tokens   2900 MB  bound ≤ 3000 MB: reached
  recompute on      4 × 1024 tokens    900 MB
  recompute on      8 × 1024 tokens   1104 MB  50.0 kB a token more
  recompute on     16 × 1024 tokens   1514 MB  50.0 kB a token more  bound ≤ 3000 MB: reached
  a token takes 1.00 × as much from 8192 to 16384 as from 4096 to 8192, bound ≤ 1.2: reached
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestWander(t *testing.T) {
	for _, tc := range []struct {
		name string
		rss  []int64
		want float64
	}{
		{"the first half is warm-up", []int64{1, 500, 100, 100}, 0},
		{"an odd number has its middle in the last half", []int64{1, 90, 100}, 10.0 / 95},
		{"growth", []int64{1, 1, 98, 100, 102, 104}, 4.0 / 102}, // the last half is the last three
	} {
		if got := wander(tc.rss); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %g, want %g", tc.name, got, tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	ok := []string{"--ours", "o", "--python", "p", "--policy", "d"}
	o, err := parse(append(ok, "--models", "tiny, smol135m", "--contenders", "verl best"), &strings.Builder{})
	if err != nil || strings.Join(o.models, " ") != "tiny smol135m" || strings.Join(o.contenders, " ") != "verl best" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, tc := range []struct{ name, args, want string }{
		{"nothing to measure with", "--checks flops", "--ours and --python"},
		{"no policy", "--ours o --python p", "--policy"},
		{"an unknown contender", "--contenders ours", `"ours" is none of trl, verl, best`},
		{"an unknown check", "--checks all", `"all" is none of speed`},
		{"an unknown model", "--ours o --python p --policy d --models huge", "huge is none of tiny"},
		{"no rounds", "--ours o --python p --policy d --pairs 0", "--pairs must be at least 1"},
		{"too few updates", "--ours o --python p --policy d --updates 9", "--updates must be at least 100"},
		{"a stray word", "--ours o --python p --policy d x", `argument "x"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := parse(strings.Fields(tc.args), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
