package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

const chatPath = "/v1/chat/completions"

// sumsSet is a file of n problems "What is i + i?".
func sumsSet(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"problem":"What is %d + %d?","answer":"%d"}`+"\n", i, i, 2*i)
	}
	return file(t, "sums.jsonl", b.String())
}

var sum = regexp.MustCompile(`What is (\d+) \+`)

// sums is a server that answers them, right where the seed is even.
func sums(t *testing.T, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	o := openaitest.Options{MaxModelLen: 4096, Script: func(prompt []int32, seed int64) []int32 {
		n := 0
		if m := sum.FindStringSubmatch(openaitest.Decode(prompt)); m != nil {
			_, _ = fmt.Sscan(m[1], &n)
		}
		return openaitest.Encode(fmt.Sprintf(`So it is \boxed{%d}.<|im_end|>`, 2*n+int(seed%2)))
	}}
	if change != nil {
		change(&o)
	}
	return openaitest.New(t, o)
}

// judging is a server whose model says the same of everything.
func judging(t *testing.T, says string) *openaitest.Server {
	t.Helper()
	return openaitest.New(t, openaitest.Options{Model: "judge", MaxModelLen: 8192, Script: func([]int32, int64) []int32 { return openaitest.Encode(says + "<|im_end|>") }})
}

// evalArgs is a small evaluation.
func evalArgs(url, set, out string, more ...string) []string {
	return append([]string{"eval", "--server", url, "--bench", set, "--out", out, "--n", "3", "--max-tokens", "200", "--verifier", "strict-box", "--patience", "1s"}, more...)
}

// chats are the bodies of a server's chat requests.
func chats(t *testing.T, s *openaitest.Server) []openai.ChatRequest {
	t.Helper()
	var out []openai.ChatRequest
	for _, r := range s.Requests(chatPath) {
		var body openai.ChatRequest
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		out = append(out, body)
	}
	return out
}

// complete checks that a file has each of the problems' answers once, and
// returns them.
func complete(t *testing.T, path string, problems, n int) []benchmarks.Generation {
	t.Helper()
	var all []benchmarks.Generation
	seen := map[string]bool{}
	err := generations.Scan(path, func(_ generations.Line, g benchmarks.Generation) error {
		if key := fmt.Sprint(g.ExampleID, g.Seed); seen[key] {
			return fmt.Errorf("twice: problem and seed %s", key)
		} else {
			seen[key] = true
		}
		all = append(all, g)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seeds := evaluate.Seeds(0, "sums", n)
	for i := range problems {
		for _, s := range seeds {
			if !seen[fmt.Sprint(i, s)] {
				t.Errorf("problem %d has no answer of seed %d", i, s)
			}
		}
	}
	if len(all) != problems*n {
		t.Errorf("%d answers, want %d", len(all), problems*n)
	}
	return all
}

const sumsFile = "sums_t0.7_p0.9_n3-MNT200.jsonl"

func TestEval(t *testing.T) {
	server := sums(t, nil)
	out := filepath.Join(t.TempDir(), "out")
	args := evalArgs(server.URL, sumsSet(t, 5), out)
	code, stdout, stderr := run(t, append(args, "--json")...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	right := 0
	for _, g := range complete(t, filepath.Join(out, sumsFile), 5, 3) {
		if g.Seed%2 == 0 {
			right++
		}
	}
	var report struct {
		Templates []struct {
			Template string
			Average  float64
			Results  []struct {
				Hyperparameters map[string]string
				MeanScore       float64 `json:"mean_score"`
				Problems        int
				Answers         int
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	want := float64(right) / 15
	if len(report.Templates) != 1 || len(report.Templates[0].Results) != 1 {
		t.Fatalf("%s", stdout)
	}
	if r := report.Templates[0].Results[0]; r.MeanScore != want || r.Problems != 5 || r.Answers != 15 || report.Templates[0].Average != want || report.Templates[0].Template != "paper" ||
		r.Hyperparameters["task_name"] != "sums" || r.Hyperparameters["max_tokens"] != "200" {
		t.Errorf("%+v, want the mean score %g", report, want)
	}
	for _, name := range []string{evaluate.RecordName, resultsName, verdictsName} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	// The same again asks for nothing, and says the same.
	code, table, stderr := run(t, args...)
	if code != ExitOK || !strings.Contains(stderr, "15 of 15 answers are there already") || len(chats(t, server)) != 15 {
		t.Errorf("exit code %d, %d requests\n%s", code, len(chats(t, server)), stderr)
	}
	for _, part := range []string{"avg@n %", "sums", fmt.Sprintf("%.2f", 100*want), "written to " + out} {
		if !strings.Contains(table, part) {
			t.Errorf("%q is not in the table\n%s", part, table)
		}
	}
	// One of other settings is refused before it asks.
	code, _, stderr = run(t, append(args, "--temperature", "0.6", "--limit", "2")...)
	if code != ExitUsage || !strings.Contains(stderr, "temperature is 0.6, was 0.7, number of problems of sums is 2, was 5") || len(chats(t, server)) != 15 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// More problems and more repeats ask for what is missing, and leave what an
// evaluation that was as large from the start leaves.
func TestEvalGrows(t *testing.T) {
	server, set := sums(t, nil), sumsSet(t, 6)
	out, whole := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "whole")
	short := file(t, "short.txt", "{{question}} Box it.")
	eval := func(out string, limit, n int, more ...string) (int, string, string) {
		return run(t, append([]string{"eval", "--server", server.URL, "--bench", set, "--out", out, "--n", fmt.Sprint(n), "--limit", fmt.Sprint(limit),
			"--template", "paper", "--template", short, "--max-tokens", "200", "--verifier", "strict-box", "--patience", "1s"}, more...)...)
	}
	asked := 0
	for _, size := range [][2]int{{2, 2}, {4, 2}, {4, 3}, {6, 5}, {6, 5}} {
		code, _, stderr := eval(out, size[0], size[1])
		want := 2 * size[0] * size[1] // templates
		if got := len(chats(t, server)); code != ExitOK || got != want || asked > 0 && !strings.Contains(stderr, fmt.Sprintf("sums (short): %d of %d answers are there already", asked/2, want/2)) {
			t.Fatalf("%d problems, %d repeats: exit code %d, %d requests, want %d\n%s", size[0], size[1], code, got, want, stderr)
		}
		asked = want
	}
	code, stdout, stderr := eval(whole, 6, 5)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	_, again, _ := eval(out, 6, 5)
	if strings.ReplaceAll(stdout, whole, "") != strings.ReplaceAll(again, out, "") {
		t.Errorf("it grew to\n%s, from the start it is\n%s", again, stdout)
	}
	for _, template := range []string{"", "short"} {
		complete(t, filepath.Join(out, template, "sums_t0.7_p0.9_n5-MNT200.jsonl"), 6, 5)
		left, err := filepath.Glob(filepath.Join(out, template, "sums_*"))
		if err != nil || len(left) != 1 {
			t.Errorf("%v, %v", left, err)
		}
	}
	if code, table, stderr := run(t, "report", out); code != ExitOK || !strings.Contains(table, "short") {
		t.Errorf("report: exit code %d\n%s%s", code, table, stderr)
	}
	// Less of either than was measured, another seed and other problems are another evaluation.
	asked = len(chats(t, server))
	for want, args := range map[string][]string{
		"n of sums is 4, was 5":                  {"--n", "4"},
		"number of problems of sums is 5, was 6": {"--limit", "5"},
		"seed is 1, was 0":                       {"--n", "9", "--seed", "1"},
	} {
		args = append([]string{"eval", "--server", server.URL, "--bench", set, "--out", out, "--max-tokens", "200", "--verifier", "strict-box"}, args...)
		if !slices.Contains(args, "--n") {
			args = append(args, "--n", "5")
		}
		if code, _, stderr := run(t, args...); code != ExitUsage || !strings.Contains(stderr, want) || len(chats(t, server)) != asked {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	text, err := os.ReadFile(set)
	if err != nil {
		t.Fatal(err)
	}
	for change, code := range map[string]int{strings.Replace(string(text), "1 + 1", "1 + 2", 1): ExitUsage, string(text): ExitOK} {
		if err := os.WriteFile(set, []byte(change+`{"problem":"What is 6 + 6?","answer":"12"}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _, stderr := eval(out, 7, 5); got != code || code != ExitOK && !strings.Contains(stderr, "sums has other problems than it had") {
			t.Errorf("exit code %d, want %d: %s", got, code, stderr)
		}
	}
	if got := len(chats(t, server)); got != asked+10 {
		t.Errorf("a problem more: %d requests", got-asked)
	}
}

// A size that was mistyped is taken back: the results keep their answers, and
// those to more are not lost, nor asked for again.
func TestEvalTakesASizeBack(t *testing.T) {
	server, set := sums(t, nil), sumsSet(t, 4)
	out := filepath.Join(t.TempDir(), "out")
	eval := func(limit, n int) (int, string, string) {
		return run(t, evalArgs(server.URL, set, out, "--concurrency", "1", "--patience", "1ms", "--limit", fmt.Sprint(limit), "--n", fmt.Sprint(n))...)
	}
	stopped := func(limit, n, after int) {
		t.Helper()
		server.Inject(openaitest.Fault{Kind: openaitest.FaultClose, Path: chatPath, After: after, Times: -1})
		if code, _, stderr := eval(limit, n); code != ExitServer {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		server.Heal()
	}
	name := func(n int) string { return fmt.Sprintf("sums_t0.7_p0.9_n%d-MNT200.jsonl", n) }
	left := func(want ...string) {
		t.Helper()
		var names []string
		all, err := filepath.Glob(filepath.Join(out, "sums_*"))
		for _, path := range all {
			names = append(names, filepath.Base(path))
		}
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%q, %v, want %q", names, err, want)
		}
	}
	good := func(limit, n, asks int) {
		t.Helper()
		asked := len(chats(t, server))
		code, _, stderr := eval(limit, n)
		if got := len(chats(t, server)) - asked; code != ExitOK || got != asks {
			t.Fatalf("%d problems, %d repeats: exit code %d, %d requests, want %d\n%s", limit, n, code, got, asks, stderr)
		}
		complete(t, filepath.Join(out, name(n)), limit, n)
	}
	good(2, 2, 4)
	stopped(2, 50, 3) // a third repeat, and half of a fourth
	left(name(2), name(50))
	code, table, stderr := run(t, "report", out)
	if code != ExitOK || !strings.Contains(table+stderr, "sums is still growing: the results are of 2 problems, 2 answers each; it will be 2 problems, 50 answers each") {
		t.Errorf("exit code %d: %s%s", code, table, stderr)
	}
	good(2, 2, 0)
	if code, table, stderr = run(t, "report", out); code != ExitOK || strings.Contains(table+stderr, "growing") {
		t.Errorf("exit code %d: %s%s", code, table, stderr)
	}
	good(2, 4, 1)
	left(name(4), name(50))
	stopped(4, 4, 3) // of the 8 to two problems more
	good(2, 4, 0)
	left(name(4), name(4)+".aside", name(50))
	good(4, 5, 9) // 20, of which 8 and 3 are there
	if code, _, stderr := eval(4, 3); code != ExitUsage || !strings.Contains(stderr, "n of sums is 3, was 5") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A file that is another evaluation's stays as it is, and nothing is put beside it.
func TestEvalTakesNoOthersFile(t *testing.T) {
	server, set := sums(t, nil), sumsSet(t, 2)
	other := filepath.Join(t.TempDir(), "other")
	if code, _, stderr := run(t, evalArgs(server.URL, set, other, "--seed", "5")...); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	text, err := os.ReadFile(filepath.Join(other, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"3", "5"} {
		out := t.TempDir()
		path := filepath.Join(out, sumsFile)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, evalArgs(server.URL, set, out, "--n", n)...)
		if code == ExitOK || !strings.Contains(stderr, path+":1: seed ") || len(chats(t, server)) != 6 {
			t.Errorf("n %s: exit code %d, %d requests: %s", n, code, len(chats(t, server)), stderr)
		}
		there, err := os.ReadDir(out)
		if now, readErr := os.ReadFile(path); err != nil || readErr != nil || len(there) != 1 || string(now) != string(text) {
			t.Errorf("n %s: %v (%v, %v)", n, there, err, readErr)
		}
	}
}

// The judge, on a server of its own, is asked about exactly what the rules reject.
func TestEvalJudge(t *testing.T) {
	for _, tc := range []struct {
		says    string
		correct bool
		warns   bool
	}{{"A", true, false}, {"B", false, false}, {"Hm", false, true}} {
		t.Run(tc.says, func(t *testing.T) {
			server, second := sums(t, nil), judging(t, tc.says)
			out := filepath.Join(t.TempDir(), "out")
			args := evalArgs(server.URL, sumsSet(t, 4), out, "--judge", second.URL)
			code, _, stderr := run(t, args...)
			if code != ExitOK {
				t.Fatalf("exit code %d\n%s", code, stderr)
			}
			if warned := strings.Contains(stderr, "is it a judge?"); warned != tc.warns {
				t.Errorf("warned: %t\n%s", warned, stderr)
			}
			var want, got []string
			for _, g := range complete(t, filepath.Join(out, sumsFile), 4, 3) {
				if g.Seed%2 != 0 {
					message, err := judge.Default().Render(fmt.Sprintf("What is %d + %d?", g.ExampleID, g.ExampleID), g.Answer, g.Response)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, message)
				}
			}
			for _, r := range chats(t, second) {
				got = append(got, r.Messages[0].Content)
				if r.Temperature != 0 || r.MaxTokens != judge.MaxTokens || r.Model != "judge" {
					t.Errorf("asked %+v", r)
				}
			}
			slices.Sort(want)
			want = slices.Compact(want) // equal answers are asked about once
			slices.Sort(got)
			if !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("the judge was asked about\n%q\nwant\n%q", got, want)
			}
			for _, v := range verdicts(t, filepath.Join(out, verdictsName)) {
				if wrong := v.Seed%2 != 0; wrong && (v.By != benchmarks.ByJudge || v.Correct != tc.correct) || !wrong && (v.By != benchmarks.ByRule || !v.Correct) {
					t.Errorf("verdict %+v", v)
				}
			}
			// What it said is kept, if it was a verdict.
			asked := len(want)
			if tc.warns {
				asked *= 2
			}
			if code, _, stderr := run(t, args...); code != ExitOK || len(chats(t, second)) != asked {
				t.Errorf("exit code %d, %d questions, want %d\n%s", code, len(chats(t, second)), asked, stderr)
			}
			record, err := evaluate.ReadRecord(out)
			if err != nil || record.Finished == nil || fmt.Sprint(record.Grading["judged"]) == "" {
				t.Errorf("record %+v, %v", record, err)
			}
		})
	}
}

func verdicts(t *testing.T, path string) []benchmarks.Verdict {
	t.Helper()
	var out []benchmarks.Verdict
	err := eachLine(path, func(_ int, v benchmarks.Verdict) error {
		out = append(out, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Two templates are two cells with the same seeds, and the spread between them.
func TestEvalTemplates(t *testing.T) {
	server := sums(t, nil)
	out := filepath.Join(t.TempDir(), "out")
	short := file(t, "short.txt", "{{question}} Box it.")
	code, stdout, stderr := run(t, evalArgs(server.URL, sumsSet(t, 2), out, "--template", "paper", "--template", short)...)
	if code != ExitOK || !strings.Contains(stdout, "sums over 2 templates") || !strings.Contains(stdout, "template short") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	complete(t, filepath.Join(out, sumsFile), 2, 3)
	for _, g := range complete(t, filepath.Join(out, "short", sumsFile), 2, 3) {
		if !strings.HasSuffix(g.Prompt, "? Box it.") {
			t.Errorf("prompt %q", g.Prompt)
		}
	}
}

func TestEvalSeveralServers(t *testing.T) {
	a, b := sums(t, nil), sums(t, nil)
	out := filepath.Join(t.TempDir(), "out")
	code, _, stderr := run(t, evalArgs(a.URL, sumsSet(t, 10), out, "--server", b.URL)...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	complete(t, filepath.Join(out, sumsFile), 10, 3)
	if len(chats(t, a)) == 0 || len(chats(t, b)) == 0 {
		t.Errorf("%d and %d requests", len(chats(t, a)), len(chats(t, b)))
	}
	other := sums(t, func(o *openaitest.Options) { o.Model = "another" })
	code, _, stderr = run(t, evalArgs(a.URL, sumsSet(t, 1), t.TempDir(), "--server", other.URL)...)
	if code != ExitUsage || !strings.Contains(stderr, "must serve one model") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// A context that has no room for max_tokens is told of, before and after.
func TestEvalClips(t *testing.T) {
	server := sums(t, func(o *openaitest.Options) {
		o.MaxModelLen = 150
		o.Script = func([]int32, int64) []int32 { return openaitest.Encode(strings.Repeat("x", 1000)) }
	})
	out := filepath.Join(t.TempDir(), "out")
	code, _, stderr := run(t, evalArgs(server.URL, sumsSet(t, 1), out)...)
	if code != ExitOK || !strings.Contains(stderr, "has a context of 150 tokens") || !strings.Contains(stderr, "answers were cut at") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	for _, g := range complete(t, filepath.Join(out, sumsFile), 1, 3) {
		if g.FinishReason != "length" || g.Tokens >= 150 {
			t.Errorf("%+v", g)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	server, set := sums(t, nil), sumsSet(t, 2)
	gone := sums(t, nil)
	gone.Close()
	small := judging(t, "A")
	small.Set(func(o *openaitest.Options) { o.MaxModelLen = 300 })
	for _, tc := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"nothing", ExitUsage, []string{"eval"}, []string{"--server", "--bench", "--out"}},
		{"no such set", ExitUsage, evalArgs(server.URL, "AIME23", "o"), []string{"AIME23", "AIME24"}},
		{"no such file", ExitUsage, evalArgs(server.URL, "none.jsonl", "o"), []string{"none.jsonl", "no such file"}},
		{"a file called as a set is", ExitUsage, evalArgs(server.URL, file(t, "Math_500.jsonl", `{"problem":"1+1","answer":"2"}`), "o"), []string{"Math_500.jsonl would be called MATH-500", "rename the file, or use --bench MATH-500"}},
		{"a set twice", ExitUsage, evalArgs(server.URL, set, "o", "--bench", set), []string{"twice"}},
		{"no such server", ExitServer, evalArgs(gone.URL, set, "o"), []string{gone.URL, "nothing listens there"}},
		{"no such model", ExitServer, evalArgs(server.URL, set, "o", "--served-model", "big"), []string{`does not serve "big"`, "tiny"}},
		{"not a URL", ExitUsage, evalArgs("localhost", set, "o"), []string{"http://host:port"}},
		{"no such template", ExitUsage, evalArgs(server.URL, set, "o", "--template", "none.txt"), []string{"none.txt"}},
		{"a template without a question", ExitUsage, evalArgs(server.URL, set, "o", "--template", file(t, "x.txt", "hi")), []string{"x.txt", "{{question}}"}},
		{"no such verifier", ExitUsage, evalArgs(server.URL, set, "o", "--verifier", "luck"), []string{"luck", "strict-box"}},
		{"top-p", ExitUsage, evalArgs(server.URL, set, "o", "--top-p", "0"), []string{"--top-p must be above 0"}},
		{"n", ExitUsage, evalArgs(server.URL, set, "o", "--n", "0"), []string{"--n must be at least 1"}},
		{"a judge's flag without one", ExitUsage, evalArgs(server.URL, set, "o", "--judge-empty-question"), []string{"--judge URL"}},
		{"no such judge", ExitServer, evalArgs(server.URL, set, filepath.Join(t.TempDir(), "o"), "--judge", gone.URL), []string{gone.URL}},
		{"a judge's template", ExitUsage, evalArgs(server.URL, set, filepath.Join(t.TempDir(), "o"), "--judge", server.URL, "--judge-template", file(t, "j.txt", "{{truth}}")), []string{"j.txt", "{{response}}"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, _, stderr := run(t, tc.args...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d: %s", code, tc.code, stderr)
			}
			for _, w := range tc.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("stderr %q lacks %q", stderr, w)
				}
			}
		})
	}
	if n := len(chats(t, server)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// That the same command goes on is said where it does: not before what there is
// was read, nor where that cannot be.
func TestEvalSaysWhatIsLeftWhereItIs(t *testing.T) {
	server, set, out := sums(t, nil), sumsSet(t, 2), filepath.Join(t.TempDir(), "out")
	gone := sums(t, nil)
	gone.Close()
	code, _, stderr := run(t, evalArgs(server.URL, set, out, "--judge", gone.URL)...)
	if code != ExitServer || strings.Contains(stderr, "answers are in") {
		t.Errorf("no judge: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	path := filepath.Join(out, sumsFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("broken\n"+string(b)), 0o666); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = run(t, evalArgs(server.URL, set, out)...)
	if code != ExitFailed || strings.Contains(stderr, "answers are in") || !strings.Contains(stderr, sumsFile+":1") {
		t.Errorf("a broken line: exit code %d: %s", code, stderr)
	}
}

// What eval writes is what grade writes about the same answers.
func TestEvalAgreesWithGrade(t *testing.T) {
	server := sums(t, nil)
	out, again := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "again")
	if code, _, stderr := run(t, evalArgs(server.URL, sumsSet(t, 5), out)...); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := run(t, "grade", "--generations", out, "--verifier", "strict-box", "--out", again); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, name := range []string{resultsName, verdictsName, markdownName, csvName} {
		mine, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(theirs), string(mine)); diff != "" {
			t.Errorf("%s (-grade +eval)\n%s", name, diff)
		}
	}
}

// The nine sets of the paper, killed and resumed above on a set of our own.
func TestEvalNineSets(t *testing.T) {
	dir := "../../../shared/data/benchmarks"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the nine sets are not on this machine: %v", err)
	}
	server := openaitest.New(t, openaitest.Options{MaxModelLen: 8192, Script: func([]int32, int64) []int32 { return openaitest.Encode(`It is \boxed{7}.<|im_end|>`) }})
	out := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := run(t, "eval", "--server", server.URL, "--bench", "all", "--data-dir", dir, "--limit", "3", "--n", "2", "--max-tokens", "64", "--verifier", "strict-box", "--out", out)
	if code != ExitOK || len(chats(t, server)) != 9*3*2 {
		t.Fatalf("exit code %d, %d requests\n%s%s", code, len(chats(t, server)), stdout, stderr)
	}
	for _, set := range sets.All() {
		if !strings.Contains(stdout, strings.ToLower(set.Name)) {
			t.Errorf("%s is not in the table\n%s", set.Name, stdout)
		}
		problems, err := (sets.Store{Dir: dir}).Load(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems { // as the authors' program has it, letter by letter
			if got, err := (evaluate.Template{}).Prompt(p.Question); err != nil || got != p.Question+" "+dataset.Instruction {
				t.Errorf("%s, problem %d: prompt %q (%v)", set.Name, p.ID, got, err)
			}
		}
	}
}

// A set of one's own in other columns, with choices, an instruction and a verifier
// of its own, is read as the run that trains on it reads it.
func TestEvalOfARunsConfig(t *testing.T) {
	server := sums(t, nil)
	set := file(t, "animals.csv", "q,a,b,right\nWhich barks?,a cat,a dog,2\nWhich meows?,a cat,a dog,1\n")
	cfg := file(t, "run.yaml", `preset: tiny-cpu
problems:
  question: q
  choices: [a, b]
  answer: right
  answer_is: number
  instruction: Put the letter within \boxed{}.
reward:
  verifier: choice
`)
	out := filepath.Join(t.TempDir(), "out")
	code, _, stderr := run(t, "eval", "--config", cfg, "--server", server.URL, "--bench", set, "--out", out, "--n", "1", "--max-tokens", "50")
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	asked := map[string]bool{}
	for _, r := range chats(t, server) {
		asked[r.Messages[0].Content] = true
	}
	for _, want := range []string{"Which barks?\nA. a cat\nB. a dog\n\nPut the letter within \\boxed{}.", "Which meows?\nA. a cat\nB. a dog\n\nPut the letter within \\boxed{}."} {
		if !asked[want] {
			t.Errorf("not asked: %q of %v", want, asked)
		}
	}
	record, err := evaluate.ReadRecord(out)
	if err != nil || !strings.Contains(fmt.Sprint(record.Grading), "choice") {
		t.Errorf("graded by %v (%v)", record.Grading, err)
	}
	truths := map[string]bool{}
	for _, v := range verdicts(t, filepath.Join(out, verdictsName)) {
		truths[v.Truth] = true
	}
	if !truths["A"] || !truths["B"] {
		t.Errorf("truths %v", truths)
	}
	// Of another message the answers are others.
	code, _, stderr = run(t, "eval", "--config", cfg, "--set", "problems.instruction=Say a letter.", "--server", server.URL, "--bench", set, "--out", out, "--n", "1", "--max-tokens", "50")
	if code != ExitUsage || !strings.Contains(stderr, "animals") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// A set of one's own is broken down by its columns, which the folder keeps: not
// by what the problems are made of, and without the set at hand.
func TestReportOfOwnColumns(t *testing.T) {
	server := sums(t, nil)
	var b strings.Builder
	b.WriteString("q,right,level,id\n")
	for i := range 6 {
		fmt.Fprintf(&b, "What is %d + %d?,%d,%s,%d\n", i%3, i%3, 2*(i%3), []string{"easy", "hard"}[i/4], i)
	}
	set := file(t, "levels.csv", b.String())
	out := filepath.Join(t.TempDir(), "out")
	for limit, want := range map[string]string{"5": "[4 1]", "6": "[4 2]"} {
		out := out + limit
		code, _, stderr := run(t, evalArgs(server.URL, set, out, "--limit", limit, "--set", "problems.question=q", "--set", "problems.answer=right")...)
		if code != ExitOK {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		code, stdout, stderr := run(t, "report", out, "--json")
		var r struct {
			Breakdowns []struct {
				Set, By string
				Parts   []struct {
					Key      string
					Problems int
				}
			}
		}
		if err := json.Unmarshal([]byte(stdout), &r); code != ExitOK || err != nil {
			t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
		}
		if len(r.Breakdowns) != 1 || r.Breakdowns[0].By != "level" || r.Breakdowns[0].Set != "levels" {
			t.Fatalf("%s: %+v", limit, r.Breakdowns)
		}
		if p := r.Breakdowns[0].Parts; len(p) != 2 || p[0].Key != "easy" || fmt.Sprint([]int{p[0].Problems, p[1].Problems}) != want {
			t.Errorf("%s: %+v", limit, p)
		}
	}
}

// A verifier that answers nothing says nothing of a model.
func TestEvalWithoutVerdicts(t *testing.T) {
	server := sums(t, nil)
	set := sumsSet(t, 2)
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a command that ends", []string{"--verifier", "command", "--set", "reward.command=[/bin/false]"}, ExitFailed, "none of 6 answers has a verdict"},
		{"a server that is not there", []string{"--verifier", "http", "--set", "reward.url=http://127.0.0.1:1/score"}, ExitServer, "127.0.0.1:1"},
	} {
		args := append(evalArgs(server.URL, set, filepath.Join(t.TempDir(), "out")), tc.args...)
		code, stdout, stderr := run(t, args...)
		if code != tc.code || !strings.Contains(stderr, tc.want) || strings.Contains(stdout, "0.00") {
			t.Errorf("%s: exit code %d\n%s\n%s", tc.name, code, stdout, stderr)
		}
	}
}

// A long answer is not kept whole, and another way of grading is said.
func TestEvalGradedAnew(t *testing.T) {
	long := openaitest.New(t, openaitest.Options{MaxModelLen: 32768, Script: func([]int32, int64) []int32 {
		return openaitest.Encode(`\boxed{` + strings.Repeat("7", 9000) + "}<|im_end|>")
	}})
	set, out := sumsSet(t, 1), filepath.Join(t.TempDir(), "out")
	args := []string{"eval", "--server", long.URL, "--bench", set, "--out", out, "--n", "1", "--max-tokens", "20000", "--verifier"}
	if code, _, stderr := run(t, append(args, "exact")...); code != ExitOK || strings.Contains(stderr, "replaced") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, v := range verdicts(t, filepath.Join(out, verdictsName)) {
		if len(v.Answer) < 1000 || len(v.Answer) > 5000 {
			t.Errorf("a verdict with an answer of %d bytes", len(v.Answer))
		}
	}
	if code, _, stderr := run(t, append(args, "strict-box")...); code != ExitOK || !strings.Contains(stderr, "was graded by exact: its results are replaced by those of strict-box") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// Any server with chat will do: without vLLM's routes, below a base path, with or without /v1.
func TestEvalAgainstAPlainServer(t *testing.T) {
	behind := sums(t, nil)
	for _, end := range []string{"", "/v1", "/v1/"} {
		out := t.TempDir()
		url := only(t, behind.URL, "/team/llm", "/v1/models", chatPath)
		code, stdout, errs := run(t, evalArgs(url+end, sumsSet(t, 4), out, "--json")...)
		if code != ExitOK || !strings.Contains(stdout, `"avg"`) && !strings.Contains(stdout, "sums") {
			t.Errorf("%s: exit code %d: %s%s", end, code, stdout, errs)
		}
	}
	for _, r := range behind.Requests("") {
		if r.Path != "/v1/models" && r.Path != chatPath {
			t.Errorf("%s came through", r.Path)
		}
	}
	if n := len(behind.Requests(chatPath)); n != 3*4*3 {
		t.Errorf("%d answers were asked for, want %d", n, 3*4*3)
	}
}
