package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/sampler/openaitest"
)

// sweepSpec is two models on two servers, two sets, two templates, two seeds.
func sweepSpec(t *testing.T, a, b string) string {
	t.Helper()
	dir := filepath.Dir(sumsSet(t, 3))
	more, err := os.ReadFile(filepath.Join(dir, "sums.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"more.jsonl": string(more), "short.txt": "{{question}} Box it.",
		"sweep.yaml": fmt.Sprintf("models: [one, two]\nservers: [{url: '%s', concurrency: 2}, {url: '%s', concurrency: 2}]\nsets: [sums.jsonl, more.jsonl]\n"+
			"sampling: {n: 2, max_tokens: 200, seed: [0, 1]}\ntemplates: [paper, short.txt]\nverifier: strict-box\n", a, b),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sweep.yaml")
}

// named is a server of sums whose model has a name.
func named(t *testing.T, model string, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	return sums(t, func(o *openaitest.Options) {
		o.Model = model
		if change != nil {
			change(o)
		}
	})
}

// requested are the questions with their seeds that a server was asked, in order of words.
func requested(t *testing.T, s *openaitest.Server, from int) []string {
	t.Helper()
	var out []string
	for _, r := range chats(t, s)[from:] {
		out = append(out, fmt.Sprintf("%s %d", r.Messages[0].Content, r.Seed))
	}
	slices.Sort(out)
	return out
}

func TestSweep(t *testing.T) {
	a, b := named(t, "one", nil), named(t, "two", nil)
	spec, out := sweepSpec(t, a.URL, b.URL), filepath.Join(t.TempDir(), "out")
	args := []string{"sweep", spec, "--out", out, "--patience", "1s"}
	code, stdout, stderr := run(t, append(args, "--dry-run")...)
	if code != ExitOK || !strings.Contains(stdout, "2 models × 2 sets × 2 samplings × 2 templates × no judge: 16 cells in 4 evaluations") || len(a.Requests("")) != 0 {
		t.Fatalf("exit code %d, %d requests\n%s%s", code, len(a.Requests("")), stdout, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a dry run made the folder")
	}
	code, stdout, stderr = run(t, args...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if len(chats(t, a)) != 48 || len(chats(t, b)) != 48 { // 2 sets × 3 problems × 2 answers × 2 templates × 2 seeds
		t.Errorf("%d and %d requests", len(chats(t, a)), len(chats(t, b)))
	}
	for _, want := range []string{"one · seed 0 · paper", "two · seed 1 · short", "sums", "more", "over", "template", "seed", "report.html", sweepResultsName} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "cells in 4 evaluations") {
		t.Errorf("the plan was not shown\n%s", stderr)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), "By template and by seed") || strings.Count(string(page), `<td class="words">seed</td>`) != 8 {
		t.Errorf("the page has no spread (%v)", err)
	}
	// A cell is an evaluation that the other commands take.
	cell := filepath.Join(out, "cells", "one-t0.7-p0.9-n2-m200-s0")
	if code, table, stderr := run(t, "report", cell); code != ExitOK || !strings.Contains(table, "short") {
		t.Errorf("report: exit code %d\n%s%s", code, table, stderr)
	}
	if code, _, stderr := run(t, "grade", "--generations", cell, "--out", filepath.Join(t.TempDir(), "graded"), "--verifier", "strict-box"); code != ExitOK {
		t.Errorf("grade: exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := run(t, "report", out, "--out", filepath.Join(t.TempDir(), "all.html")); code != ExitOK {
		t.Errorf("report of all: exit code %d\n%s", code, stderr)
	}
	// Again it asks for nothing, not even whether the servers are there.
	asked := len(a.Requests(""))
	a.Close()
	code, again, stderr := run(t, args...)
	if code != ExitOK || again != stdout || len(a.Requests("")) != asked || !strings.Contains(stderr, "nothing is left to be asked for") {
		t.Errorf("exit code %d\n%s\n%s", code, stderr, again)
	}
	var results sweepResults
	code, stdout, stderr = run(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &results); code != ExitOK || err != nil {
		t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
	}
	templates, seeds := 0, 0
	for _, s := range results.Spread {
		if len(s.Scores) != 2 || s.Min > s.Mean || s.Mean > s.Max {
			t.Errorf("%+v", s)
		}
		switch s.Over {
		case sweep.OverTemplate:
			templates++
		case sweep.OverSeed:
			seeds++
		}
	}
	if len(results.Evaluations) != 4 || templates != 8 || seeds != 8 { // 2 models × 2 sets × 2 of the other
		t.Errorf("%d evaluations, spreads %d and %d", len(results.Evaluations), templates, seeds)
	}
	// What a spec changes of them is refused, and what it adds is added.
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, with string) {
		t.Helper()
		if err := os.WriteFile(spec, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("verifier: strict-box", "verifier: exact\nlimit: 2")
	code, _, stderr = run(t, args...)
	if code != ExitUsage || !strings.Contains(stderr, "verifier is exact, was strict-box") || !strings.Contains(stderr, "2 problems, 2 answers each, was 3 problems") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	change("models: [one, two]", "models: two")
	change("seed: [0, 1]", "seed: [1, 2]")
	text, _ = os.ReadFile(spec)
	change("models: [one, two]", "models: two")
	asked = len(chats(t, b))
	if code, _, stderr = run(t, args...); code != ExitOK || len(chats(t, b)) != asked+24 {
		t.Errorf("exit code %d, %d requests\n%s", code, len(chats(t, b))-asked, stderr)
	}
}

// A set of one's own in other columns is asked as the spec says; of another
// instruction its answers are others.
func TestSweepOfOwnColumns(t *testing.T) {
	server := sums(t, nil)
	set := file(t, "animals.csv", "q,a,b,right\nWhich barks?,a cat,a dog,2\nWhich meows?,a cat,a dog,1\n")
	text := "models: tiny\nservers: " + server.URL + "\nsets:\n  set: " + set + "\n  question: q\n  choices: [a, b]\n  answer: right\n  answer_is: number\n  instruction: Say the letter.\n" +
		"sampling: {n: 1, max_tokens: 50}\nverifier: choice\n"
	out := filepath.Join(t.TempDir(), "out")
	if code, _, stderr := run(t, "sweep", file(t, "s.yaml", text), "--out", out); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	asked := requested(t, server, 0)
	for i, want := range []string{"Which barks?\nA. a cat\nB. a dog\n\nSay the letter. ", "Which meows?\nA. a cat\nB. a dog\n\nSay the letter. "} {
		if len(asked) != 2 || !strings.HasPrefix(asked[i], want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
	code, _, stderr := run(t, "sweep", file(t, "s.yaml", strings.Replace(text, "Say the", "A", 1)), "--out", out)
	if code != ExitUsage || !strings.Contains(stderr, "of set animals is") || len(chats(t, server)) != 2 {
		t.Errorf("exit code %d, %d requests: %s", code, len(chats(t, server)), stderr)
	}
}

// More problems, and more answers a problem, ask for what is missing.
func TestSweepGrows(t *testing.T) {
	server, set := named(t, "one", nil), sumsSet(t, 5)
	out := filepath.Join(t.TempDir(), "out")
	text := "models: one\nservers: " + server.URL + "\nsets: " + set + "\nsampling: {n: %d, max_tokens: 200}\nverifier: strict-box\nlimit: %d\n"
	for _, size := range []struct{ n, limit, asked int }{{2, 2, 4}, {2, 4, 8}, {3, 4, 12}, {3, 5, 15}} {
		code, _, stderr := run(t, "sweep", file(t, "s.yaml", fmt.Sprintf(text, size.n, size.limit)), "--out", out)
		if got := len(chats(t, server)); code != ExitOK || got != size.asked {
			t.Fatalf("%d problems, %d answers each: exit code %d, %d requests, want %d\n%s", size.limit, size.n, code, got, size.asked, stderr)
		}
	}
	complete(t, filepath.Join(out, "cells", "one-t0.7-p0.9-n3-m200-s0", "sums_t0.7_p0.9_n3-MNT200.jsonl"), 5, 3)
	complete(t, filepath.Join(out, "cells", "one-t0.7-p0.9-n2-m200-s0", "sums_t0.7_p0.9_n2-MNT200.jsonl"), 4, 2)
	code, _, stderr := run(t, "sweep", file(t, "s.yaml", fmt.Sprintf(text, 3, 4)), "--out", out)
	if code != ExitUsage || !strings.Contains(stderr, "size of set sums is 4 problems, 3 answers each, was 5 problems, 3 answers each") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	// Problems after those there were are new ones, those that there were are not.
	b, err := os.ReadFile(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(set, []byte(strings.Replace(string(b), "1 + 1", "1 + 2", 1)+`{"problem":"What is 5 + 5?","answer":"10"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = run(t, "sweep", file(t, "s.yaml", fmt.Sprintf(text, 3, 6)), "--out", out)
	if code != ExitUsage || !strings.Contains(stderr, "sha256 of set sums is ") || len(chats(t, server)) != 15 {
		t.Errorf("exit code %d, %d requests: %s", code, len(chats(t, server)), stderr)
	}
}

// Answers to other problems are not borrowed, and what the folder remembers stays
// as it was: the set put back, the spec grows.
func TestSweepGrowsWithAnEditedSet(t *testing.T) {
	server, set := named(t, "one", nil), sumsSet(t, 3)
	out := filepath.Join(t.TempDir(), "out")
	sweep := func(n int, more ...string) (int, string, string) {
		text := fmt.Sprintf("models: one\nservers: %s\nsets: %s\nsampling: {n: %d, max_tokens: 200}\nverifier: strict-box\n", server.URL, set, n)
		return run(t, append([]string{"sweep", file(t, "s.yaml", text), "--out", out}, more...)...)
	}
	if code, _, stderr := sweep(2); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	was, err := os.ReadFile(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(set, []byte(strings.Replace(string(was), "1 + 1", "1 + 2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{{"--dry-run"}, nil} {
		code, _, stderr := sweep(4, more...)
		if code != ExitUsage || !strings.Contains(stderr, "sha256 of set sums is ") || !strings.Contains(stderr, "-n2-m200-s0") || len(chats(t, server)) != 6 {
			t.Errorf("%v: exit code %d, %d requests: %s", more, code, len(chats(t, server)), stderr)
		}
	}
	if err := os.WriteFile(set, was, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := sweep(4); code != ExitOK || len(chats(t, server)) != 12 {
		t.Errorf("exit code %d, %d requests: %s", code, len(chats(t, server)), stderr)
	}
}

// What is not known is said, and taken from another sweep that measured it.
func TestSweepFigures(t *testing.T) {
	server, set := named(t, "one", nil), sumsSet(t, 3)
	spec := file(t, "s.yaml", "models: one\nservers: {name: first, url: '"+server.URL+"'}\nsets: "+set+"\nsampling: {n: 2, max_tokens: 200}\nverifier: strict-box\n")
	done, next := filepath.Join(t.TempDir(), "done"), filepath.Join(t.TempDir(), "next")
	if code, _, stderr := run(t, "sweep", spec, "--out", done); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	code, stdout, stderr := run(t, "sweep", spec, "--out", next, "--dry-run")
	if code != ExitOK || !strings.Contains(stdout, "not known: speed of one on first, length of one's answers to sums") || !strings.Contains(stdout, "no estimate") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "sweep", spec, "--out", next, "--dry-run", "--figures", done)
	if code != ExitOK || strings.Contains(stdout, "not known") || strings.Contains(stdout, "no estimate") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "sweep", spec, "--out", next, "--dry-run", "--json", "--figures", done)
	var costs sweep.Costs
	if err := json.Unmarshal([]byte(stdout), &costs); code != ExitOK || err != nil || costs.Tokens == nil || costs.Seconds == nil || *costs.Tokens <= 0 || *costs.Tokens >= float64(costs.MaxTokens) || len(costs.Unknown) != 0 {
		t.Errorf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	code, _, stderr = run(t, "sweep", spec, "--out", next, "--dry-run", "--figures", t.TempDir())
	if code != ExitUsage || !strings.Contains(stderr, "it is no sweep's folder") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if n := len(chats(t, server)); n != 6 {
		t.Errorf("%d requests", n)
	}
}

func TestSweepExample(t *testing.T) {
	code, stdout, stderr := run(t, "sweep", "../../examples/sweep.yaml", "--out", filepath.Join(t.TempDir(), "out"), "--dry-run")
	if code != ExitOK || !strings.Contains(stdout, "24 cells in 4 evaluations") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "sweep", "../../examples/sweep.yaml", "--out", filepath.Join(t.TempDir(), "out"), "--dry-run", "--json")
	var costs sweep.Costs
	if err := json.Unmarshal([]byte(stdout), &costs); code != ExitOK || err != nil || costs.Cells != 24 || costs.Requests == 0 || costs.MaxTokens != int64(costs.Requests)*31744 {
		t.Errorf("exit code %d, %v, %+v\n%s", code, err, costs, stderr)
	}
}

// One server that goes away: exit code 3, the other's cells are done, and the
// same command goes on when it is back.
func TestSweepServerGoesAway(t *testing.T) {
	a, b := named(t, "one", nil), named(t, "two", nil)
	spec, out := sweepSpec(t, a.URL, b.URL), filepath.Join(t.TempDir(), "out")
	args := []string{"sweep", spec, "--out", out, "--patience", "100ms"}
	a.Inject(openaitest.Fault{Kind: openaitest.FaultClose, Path: chatPath, After: 10, Times: -1})
	code, stdout, stderr := run(t, args...)
	if code != ExitServer || !strings.Contains(stderr, "2 of 4 evaluations are complete") || !strings.Contains(stderr, a.URL) || !strings.Contains(stdout, "report.html") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if got := len(chats(t, b)); got != 48 {
		t.Errorf("the other server had %d requests", got)
	}
	answered := 0
	for _, e := range []string{"one-t0.7-p0.9-n2-m200-s0", "one-t0.7-p0.9-n2-m200-s1"} {
		_ = filepath.WalkDir(filepath.Join(out, "cells", e), func(path string, d os.DirEntry, _ error) error {
			if strings.HasSuffix(path, "-MNT200.jsonl") && !strings.Contains(path, verdictsDirs) {
				answered += len(answersIn(t, path))
			}
			return nil
		})
	}
	a.Heal()
	before := len(chats(t, a))
	code, _, stderr = run(t, args...)
	if code != ExitOK || len(chats(t, a))-before != 48-answered || answered < 8 || len(chats(t, b)) != 48 {
		t.Errorf("exit code %d; %d answers, then %d requests\n%s", code, answered, len(chats(t, a))-before, stderr)
	}
}

const verdictsDirs = "/verdicts/"

func answersIn(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")[:strings.Count(string(b), "\n")]
}

// tensors is a safetensors file of one tensor.
func tensors(fill byte) []byte {
	head := `{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	head += strings.Repeat(" ", (8-len(head)%8)%8)
	b := []byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}
	return append(append(b, head...), fill, 0, 0, 0, fill, 0, 0, 0)
}

// A checkpoint is loaded into a server and measured there; then the server has
// its own weights again.
func TestSweepCheckpoint(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	if err := os.MkdirAll(base, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "model.safetensors"), tensors(1), 0o600); err != nil {
		t.Fatal(err)
	}
	server := named(t, "tiny", func(o *openaitest.Options) { o.ModelDir = base })
	dir := filepath.Dir(sumsSet(t, 2))
	var dirs []string
	for i := range 2 {
		at := filepath.Join(dir, "runs", "x", "checkpoints", fmt.Sprintf("step-%06d", i+1))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			t.Fatal(err)
		}
		_, err := atomicdir.Create(at, atomicdir.Marker{Version: int64(i + 5), Step: i + 1}, func(tmp string) error {
			return os.WriteFile(filepath.Join(tmp, "model.safetensors"), tensors(byte(i+2)), 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, at)
	}
	spec := filepath.Join(dir, "sweep.yaml")
	text := "models: [runs/x/checkpoints/step-000001, runs/x/checkpoints/step-000002, tiny]\nservers: " + server.URL + "\nsets: sums.jsonl\nsampling: {n: 2, max_tokens: 200}\nverifier: strict-box\n"
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	args := []string{"sweep", spec, "--out", out, "--patience", "1s"}
	code, stdout, stderr := run(t, args...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	var loads []string
	for _, r := range server.Requests("") {
		switch {
		case r.Path == "/collective_rpc":
			var body struct {
				Kwargs struct {
					Path string `json:"weights_path"`
				} `json:"kwargs"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			loads = append(loads, body.Kwargs.Path)
		case r.Path == chatPath && (len(loads) == 0 || loads[len(loads)-1] != "answers"):
			loads = append(loads, "answers")
		}
	}
	if want := []string{"answers", dirs[0], "answers", dirs[1], "answers", base}; !slices.Equal(loads, want) {
		t.Errorf("loads %q\nwant %q", loads, want)
	}
	for _, want := range []string{"x-step-000001", "x-step-000002", "tiny"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "has its own weights again ("+base+")") {
		t.Errorf("stderr\n%s", stderr)
	}
	r, err := evaluate.ReadRecord(filepath.Join(out, "cells", "x-step-000002-t0.7-p0.9-n2-m200-s0"))
	if err != nil || r.Model != "x-step-000002" || len(r.Servers) != 1 || r.Servers[0].Model != "tiny" {
		t.Errorf("record %+v, %v", r, err)
	}

	t.Run("a server that keeps its weights", func(t *testing.T) {
		server.Set(func(o *openaitest.Options) { o.KeepOldWeights = true })
		defer server.Set(func(o *openaitest.Options) { o.KeepOldWeights = false })
		code, _, stderr := run(t, "sweep", spec, "--out", filepath.Join(t.TempDir(), "lied"), "--patience", "1s")
		if code != ExitServer || !strings.Contains(stderr, "none of the") || !strings.Contains(stderr, "checksums of its weights has changed") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	t.Run("a server that cannot load", func(t *testing.T) {
		plain := named(t, "tiny", func(o *openaitest.Options) { o.NoDevMode = true })
		if err := os.WriteFile(spec, []byte(strings.Replace(text, server.URL, plain.URL, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, "sweep", spec, "--out", filepath.Join(t.TempDir(), "plain"), "--patience", "1s")
		if code != ExitServer || !strings.Contains(stderr, "VLLM_SERVER_DEV_MODE=1") || !strings.Contains(stderr, "1 of 3 evaluations are complete") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	t.Run("a checkpoint of another model", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "other")
		if err := os.MkdirAll(other, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, "model.safetensors"), []byte(strings.Replace(string(tensors(1)), `"w"`, `"v"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		wrong := named(t, "tiny", func(o *openaitest.Options) { o.ModelDir = other })
		if err := os.WriteFile(spec, []byte(strings.Replace(text, server.URL, wrong.URL, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, "sweep", spec, "--out", filepath.Join(t.TempDir(), "wrong"), "--patience", "1s")
		if code != ExitFailed || !strings.Contains(stderr, dirs[0]+" does not fit "+wrong.URL) {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
}

func TestSweepErrors(t *testing.T) {
	a := named(t, "one", nil)
	set := sumsSet(t, 2)
	spec := func(text string) string { return file(t, "s.yaml", text) }
	rest := "\nservers: " + a.URL + "\nsets: " + set + "\nverifier: strict-box\n"
	for _, tc := range []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"nothing", ExitUsage, []string{"sweep"}, []string{"needs one SPEC"}},
		{"no out", ExitUsage, []string{"sweep", spec("models: one" + rest)}, []string{"sweep needs --out"}},
		{"no file", ExitUsage, []string{"sweep", "none.yaml", "--out", "o"}, []string{"none.yaml", "no such file"}},
		{"all faults at once", ExitUsage, []string{"sweep", spec("model: one\nsets: AIME23\n"), "--out", "o"}, []string{"s.yaml:1: unknown key model", "s.yaml:2: sets: there is no set"}},
		{"no such verifier", ExitUsage, []string{"sweep", spec("models: one" + strings.Replace(rest, "strict-box", "luck", 1)), "--out", "o"}, []string{"luck"}},
		{"a judge's template", ExitUsage, []string{"sweep", spec("models: one" + rest + "judges: {url: 'http://j:1', template: " + file(t, "j.txt", "{{truth}}") + "}\n"), "--out", "o"}, []string{"j.txt", "{{response}}"}},
		{"no such model", ExitServer, []string{"sweep", spec("models: [one, big]" + rest), "--out", filepath.Join(t.TempDir(), "o")}, []string{"model big: no server has it", a.URL}},
		{"patience", ExitUsage, []string{"sweep", spec("models: one" + rest), "--out", "o", "--patience", "0s"}, []string{"--patience must be above 0"}},
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
	if n := len(chats(t, a)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if !withTorch {
		policy, err := filepath.Abs("../../examples/arithmetic/policy")
		if err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, "sweep", spec("models: {model: "+policy+", servers: embedded}"+rest), "--out", filepath.Join(t.TempDir(), "o"))
		if code != ExitUsage || !strings.Contains(stderr, "this build has no embedded server") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
}
