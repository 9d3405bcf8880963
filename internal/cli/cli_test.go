package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/sampler"
)

var update = flag.Bool("update", false, "rewrite golden files")

// run is a command line in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), append([]string{"justrl"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whole help texts, so that every change to what users read is seen.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{"--help"}, {"run", "--help"}, {"serve", "--help"}, {"agent", "--help"}, {"grade", "--help"}, {"logprobs", "--help"}, {"update", "--help"}, {"replay", "--help"},
		{"eval", "--help"}, {"sweep", "--help"}, {"doctor", "--help"}, {"config", "--help"}, {"report", "--help"}, {"export", "--help"},
		{"data", "--help"}, {"data", "fetch", "--help"}, {"data", "list", "--help"}, {"data", "verify", "--help"},
	} {
		name := strings.Join(append([]string{"help"}, args[:len(args)-1]...), "-")
		t.Run(name, func(t *testing.T) {
			code, got, stderr := run(t, args...)
			if code != ExitOK || stderr != "" {
				t.Fatalf("exit code %d, stderr %q", code, stderr)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("(-want +got); run with -update if it was meant:\n%s", d)
			}
		})
	}
}

// Every mistake is one line that names what is wrong, and code 2.
func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"unknown command", []string{"trian"}, []string{`"trian"`, "--help"}},
		{"unknown flag", []string{"run", "--sever", "x"}, []string{"sever"}},
		{"word that no flag takes", []string{"grade", "--in", "a", "--out", "b", "c"}, []string{`"c"`}},
		{"missing required flag", []string{"grade", "--in", "a"}, []string{"out"}},
		{"unknown verifier", []string{"grade", "--in", "a", "--out", "b", "--verifier", "llm"}, []string{`"llm"`, "strict-box"}},
		{"not a number", []string{"run", "--steps", "many"}, []string{"steps", "many"}},
		{"unknown preset", []string{"config", "big"}, []string{`"big"`, "tiny-cpu"}},
		{"unknown key", []string{"config", "--set", "sampling.m=1"}, []string{"sampling.m=1", `unknown key "m"`}},
		{"invalid value", []string{"config", "--set", "update.clip_c=0.5"}, []string{"update.clip_c", "0.5"}},
		{"two presets", []string{"config", "tiny-cpu", "x"}, []string{`"x"`}},
		{"resume and preset", []string{"run", "--resume", "--out", "x", "--preset", "tiny-cpu"}, []string{"--preset"}},
		{"resume without out", []string{"run", "--resume"}, []string{"--out"}},
		{"log format", []string{"run", "--log", "xml"}, []string{`"xml"`}},
		{"bad address", []string{"doctor", "--server", "ftp://x"}, []string{"ftp://x"}},
		{"logprobs without a model", []string{"logprobs", "--in", "a", "--out", "b"}, []string{"--model"}},
		{"data without a command", []string{"data", "get"}, []string{`"get"`, "fetch, list and verify"}},
		{"data fetch of nothing", []string{"data", "fetch"}, []string{"a set, all, dapo, or ORG/NAME"}},
		{"data fetch of an unknown set", []string{"data", "fetch", "AIME2024"}, []string{`"AIME2024"`, "nearest: AIME24;", "CMIMC25, all, dapo"}},
		{"data fetch of no id", []string{"data", "fetch", "../name"}, []string{`"../name"`, "org/name"}},
		{"data fetch of another type", []string{"data", "fetch", "--type", "space", "org/name"}, []string{"--type", `"space"`}},
		{"data fetch of a bad glob", []string{"data", "fetch", "org/name", "--include", "[a"}, []string{"--include", `"[a"`}},
		{"data fetch of the hub into a folder", []string{"data", "fetch", "--data-dir", "x", "dapo"}, []string{"--data-dir", "HF_HUB_CACHE"}},
		{"data fetch with flags on both sides", []string{"data", "fetch", "--json", "AIME24", "--data-dir", "x"}, []string{"--data-dir", "not on both sides"}},
		{"data fetch with an unknown flag", []string{"data", "fetch", "--dir", "x", "all"}, []string{"data fetch", "dir", "justrl data fetch --help"}},
		{"data list of one", []string{"data", "list", "AIME24"}, []string{`"AIME24"`}},
		{"data verify of an unknown set", []string{"data", "verify", "gsm8k"}, []string{`"gsm8k"`}},
		{"a report of nothing", []string{"report"}, []string{"RUN"}},
		{"a report of two", []string{"report", "a", "b"}, []string{`"b"`}},
		{"unknown key", []string{"logprobs", "--model", "m", "--in", "a", "--out", "b", "--set", "update.max_pack_token=1"}, []string{"update.max_pack_token"}},
		{"unknown dtype", []string{"logprobs", "--model", "m", "--in", "a", "--out", "b", "--dtype", "BF16"}, []string{"trainer.dtype", `"BF16"`}},
		{"unknown device", []string{"update", "--model", "m", "--rollouts", "a", "--out", "b", "--device", "tpu"}, []string{"trainer.device", `"tpu"`}},
		{"negative step", []string{"update", "--model", "m", "--rollouts", "a", "--out", "b", "--step", "-3"}, []string{"--step", "-3"}},
		{"replay of nothing", []string{"replay", "--step", "3"}, []string{"RUN"}},
		{"replay of two runs", []string{"replay", "a", "b", "--step", "3"}, []string{"one RUN", `"b"`}},
		{"replay of no step", []string{"replay", "a"}, []string{"--step"}},
		{"replay of a step before the first", []string{"replay", "a", "--step", "-1"}, []string{"--step", "-1"}},
		{"a preset among the settings", []string{"config", "--set", "preset=tiny-cpu"}, []string{"--preset"}},
		{"an infinite setting", []string{"config", "--set", "optimizer.lr=.inf"}, []string{"optimizer.lr", "Inf"}},
		{"one server twice", []string{"run", "--server", "http://a", "--server", "http://a", "--model", "m", "--data", "d", "--out", "o", "--preset", "tiny-cpu"}, []string{"--server http://a is there twice"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, _, stderr := run(t, tc.args...)
			if code != ExitUsage {
				t.Errorf("exit code %d, want %d", code, ExitUsage)
			}
			if n := strings.Count(stderr, "\n"); n != 1 {
				t.Errorf("%d lines on stderr, want one:\n%s", n, stderr)
			}
			for _, w := range tc.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("%q does not say %q", stderr, w)
				}
			}
		})
	}
}

// A run lists all that it lacks at once.
func TestRunListsEveryFault(t *testing.T) {
	code, _, stderr := run(t, "run", "--preset", "tiny-cpu", "--set", "sampling.n=1", "--set", "optimizer.eps=0")
	if code != ExitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, w := range []string{"--model", "--data", "--out", "sampling.n", "optimizer.eps"} {
		if !strings.Contains(stderr, w) {
			t.Errorf("not reported: %s\n%s", w, stderr)
		}
	}
}

func TestUnreachableServerIsExitCode3(t *testing.T) {
	code, stdout, stderr := run(t, "doctor", "--server", "http://127.0.0.1:1")
	if code != ExitServer || !strings.Contains(stderr, "127.0.0.1:1") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if !strings.Contains(stdout, "trainable  no") {
		t.Errorf("doctor's report:\n%s", stdout)
	}
}

func TestGrade(t *testing.T) {
	in := file(t, "pairs.jsonl", `{"id":1,"response":"so \\boxed{42}","ground_truth":"42","extra":true}
{"id":"b","response":"so \\boxed{42.0}","ground_truth":"42"}

{"response":"no box < here","ground_truth":"42"}
`)
	for _, tc := range []struct {
		args         []string
		stdout, want string
	}{
		{nil, "2 of 3 correct (66.67 %)", `{"id":1,"response":"so \\boxed{42}","ground_truth":"42","correct":true,"answer":"42","by":"rule","score":1}
{"id":"b","response":"so \\boxed{42.0}","ground_truth":"42","correct":true,"answer":"42.0","by":"rule","score":1}
{"id":null,"response":"no box < here","ground_truth":"42","correct":false,"answer":"","by":"rule","score":-1}
`},
		{[]string{"--verifier", "strict-box"}, "1 of 3 correct (33.33 %)", `{"id":1,"response":"so \\boxed{42}","ground_truth":"42","correct":true,"answer":"42","by":"strict-box","score":1}
{"id":"b","response":"so \\boxed{42.0}","ground_truth":"42","correct":false,"answer":"42.0","by":"strict-box","score":-1}
{"id":null,"response":"no box < here","ground_truth":"42","correct":false,"answer":"","by":"strict-box","score":-1}
`},
	} {
		out := filepath.Join(t.TempDir(), "graded.jsonl")
		code, stdout, stderr := run(t, append([]string{"grade", "--in", in, "--out", out}, tc.args...)...)
		if code != ExitOK {
			t.Fatalf("%v: exit code %d: %s", tc.args, code, stderr)
		}
		if !strings.HasPrefix(stdout, tc.stdout) {
			t.Errorf("%v: stdout %q", tc.args, stdout)
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, string(got)); d != "" {
			t.Errorf("%v (-want +got):\n%s", tc.args, d)
		}
	}
}

// What cannot be read leaves the output as it was.
func TestGradeRefusesAndWritesNothing(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"not JSON", "{\"response\":\"a\",\"ground_truth\":\"b\"}\nhello\n", "pairs.jsonl:2"},
		{"a field is missing", `{"id":1,"response":"a"}`, "ground_truth"},
		{"a field is no text", `{"id":1,"response":"a","ground_truth":5}`, "pairs.jsonl:1"},
		{"empty", "\n\n", "no lines"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := file(t, "pairs.jsonl", tc.in)
			out := file(t, "out.jsonl", "before")
			code, _, stderr := run(t, "grade", "--in", in, "--out", out)
			if code != ExitFailed || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "out.jsonl") {
				t.Errorf("exit code %d, stderr %q; want %d and %q in one line, and no output blamed", code, stderr, ExitFailed, tc.want)
			}
			if b, err := os.ReadFile(out); err != nil || string(b) != "before" {
				t.Errorf("the output was touched: %q, %v", b, err)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	code, _, stderr := run(t, "grade", "--in", "/nowhere/pairs.jsonl", "--out", filepath.Join(t.TempDir(), "o"))
	if code != ExitFailed || !strings.Contains(stderr, "grade: open /nowhere/pairs.jsonl: ") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	dir := t.TempDir()
	code, _, stderr = run(t, "grade", "--in", "/nowhere/pairs.jsonl", "--out", dir)
	if code != ExitUsage || !strings.Contains(stderr, "--out "+dir+" is a folder") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestConfigPrintsWhatItReads(t *testing.T) {
	code, text, stderr := run(t, "config", "tiny-cpu", "--set", "sampling.n=4")
	if code != ExitOK || !strings.Contains(text, `"n": 4 # rollouts a row`) {
		t.Fatalf("%s\n%s", stderr, text)
	}
	path := file(t, "c.yaml", text)
	code, again, stderr := run(t, "config", "--config", path)
	if code != ExitOK {
		t.Fatal(stderr)
	}
	if d := cmp.Diff(text, again); d != "" {
		t.Errorf("printed, read and printed again:\n%s", d)
	}
}

func TestCancelledIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := exitCode(ctx, context.Canceled); code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
	busy := &endpoint.StatusError{Method: "POST", URL: "http://h:1/v1", Status: 503, Message: "busy"}
	for _, err := range []error{&endpoint.GivenUpError{Tries: 3, Last: busy, Cause: context.Canceled}, fmt.Errorf("GET http://h:1/: %w", context.Canceled)} {
		if code := exitCode(ctx, err); code != ExitInterrupted {
			t.Errorf("%v, after a Ctrl-C: exit code %d, want %d", err, code, ExitInterrupted)
		}
	}
	if code := exitCode(ctx, busy); code != ExitServer {
		t.Errorf("a server's fault beside a Ctrl-C: exit code %d, want %d", code, ExitServer)
	}
	if code := exitCode(t.Context(), context.Canceled); code != ExitFailed {
		t.Errorf("a cancellation that nobody asked for: exit code %d, want %d", code, ExitFailed)
	}
}

// A link stays a link, and what is no file is written to, not replaced.
func TestOutputThroughLinks(t *testing.T) {
	in := file(t, "pairs.jsonl", `{"id":1,"response":"\\boxed{4}","ground_truth":"4"}`+"\n")
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target.jsonl"), filepath.Join(dir, "link.jsonl")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "grade", "--in", in, "--out", link); code != ExitOK {
		t.Fatal(stderr)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone (%v)", err)
	}
	if b, err := os.ReadFile(target); err != nil || !strings.Contains(string(b), `"correct":true`) {
		t.Errorf("the target holds %q, %v", b, err)
	}

	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	var got []byte
	g.Go(func() (err error) {
		got, err = os.ReadFile(pipe)
		return err
	})
	if code, _, stderr := run(t, "grade", "--in", in, "--out", pipe); code != ExitOK {
		t.Fatal(stderr)
	}
	if err := g.Wait(); err != nil || !strings.Contains(string(got), `"correct":true`) {
		t.Errorf("through the pipe came %q, %v", got, err)
	}
}

// Flags over --set over the environment over a file over the preset: the value
// that a validation complains of tells which one won.
func TestPrecedence(t *testing.T) {
	path := file(t, "c.yaml", "preset: tiny-cpu\nsteps: -1\n")
	for _, tc := range []struct {
		name, env string
		args      []string
		want      string
	}{
		{"file over preset", "", nil, "is -1"},
		{"environment over file", "-2", nil, "is -2"},
		{"--set over environment", "-2", []string{"--set", "steps=-3"}, "is -3"},
		{"flag over --set", "-2", []string{"--set", "steps=-3", "--steps=-4"}, "is -4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.env != "" {
				t.Setenv("JUSTRL_STEPS", tc.env)
			}
			code, _, stderr := run(t, append([]string{"run", "--config", path}, tc.args...)...)
			if code != ExitUsage || !strings.Contains(stderr, "steps: must be at least 1, "+tc.want) {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		})
	}
}

// Each kind of failure has its code, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{errors.New("no such file"), ExitFailed},
		{usagef("bad"), ExitUsage},
		{&endpoint.UnreachableError{Err: errors.New("refused")}, ExitServer},
		{&endpoint.StatusError{Status: 500}, ExitServer},
		{&endpoint.ReplyError{Err: errors.New("cut")}, ExitServer},
		{&endpoint.TimeoutError{}, ExitServer},
		{&sampler.CannotError{}, ExitServer},
		{&bridge.CanaryError{}, ExitServer},
		{bridge.ErrUnsupported, ExitServer},
		{orchestrator.ErrMismatch, ExitServer},
		{orchestrator.ErrPublishTimeout, ExitServer},
		{orchestrator.ErrInterrupted, ExitInterrupted},
	} {
		if got := exitCode(t.Context(), fmt.Errorf("step 3: %w", tc.err)); got != tc.want {
			t.Errorf("%T %v: exit code %d, want %d", tc.err, tc.err, got, tc.want)
		}
	}
}
