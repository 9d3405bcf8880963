package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward"
)

// Every verifier that a configuration may name grades pairs from the command line.
func TestGradeWithEveryVerifier(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Response, Ground_truth string } //nolint:revive // as it is sent
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"score":%d}`, len(q.Response))
	}))
	defer server.Close()
	script := file(t, "verify.sh", `while read -r line; do
id=${line#*:}; id=${id%%,*}
echo "{\"id\":$id,\"score\":0.5,\"correct\":true,\"answer\":\"a\"}"
done
`)
	type graded struct {
		Correct bool
		Answer  string
		By      string
		Score   float64
	}
	for _, tc := range []struct {
		args            []string
		response, truth string
		want            graded
	}{
		{nil, `\boxed{0.5}`, `\frac12`, graded{true, "0.5", "rule", 1}},
		{[]string{"--verifier", "strict-box"}, `\boxed{0.5}`, `\frac12`, graded{false, "0.5", "strict-box", -1}},
		{[]string{"--verifier", "choice"}, `Answer: (b)`, "B", graded{true, "B", "choice", 1}},
		{[]string{"--verifier", "exact"}, `\boxed{B.}`, "b", graded{false, "B.", "exact", -1}},
		{[]string{"--verifier", "exact", "--set", "reward.ignore_case=true", "--set", "reward.ignore_punctuation=true"}, `\boxed{B.}`, "b", graded{true, "B.", "exact", 1}},
		{[]string{"--verifier", "exact", "--set", "reward.ignore_space=true"}, `\boxed{ b }`, "b", graded{true, " b ", "exact", 1}},
		{[]string{"--verifier", "numeric"}, `\boxed{1.01}`, "1", graded{false, "1.01", "numeric", -1}},
		{[]string{"--verifier", "numeric", "--set", "reward.abs_tolerance=0.01"}, `\boxed{1.01}`, "1", graded{true, "1.01", "numeric", 1}},
		{[]string{"--verifier", "numeric", "--set", "reward.rel_tolerance=0.01"}, `\boxed{202}`, "200", graded{true, "202", "numeric", 1}},
		{[]string{"--verifier", "f1"}, `\boxed{x y}`, "x z", graded{false, "x y", "f1", 0.5}},
		{[]string{"--set", "reward.verifier=f1", "--set", "reward.threshold=0.5"}, `\boxed{x y}`, "x z", graded{true, "x y", "f1", 0.5}},
		{[]string{"--verifier", "regex", "--set", `reward.pattern='is {truth}\b'`}, `it is 4.`, "4", graded{true, "is 4", "regex", 1}},
		{[]string{"--verifier", "command", "--set", "reward.command=[sh, " + script + "]"}, `x`, "y", graded{true, "a", "command", 0.5}},
		{[]string{"--verifier", "http", "--set", "reward.url=" + server.URL + "/score"}, `four`, "y", graded{true, "", "http", 4}},
	} {
		name := strings.Join(tc.args, " ")
		pair, err := json.Marshal(map[string]string{"response": tc.response, "ground_truth": tc.truth})
		if err != nil {
			t.Fatal(err)
		}
		in, out := file(t, "in.jsonl", string(pair)+"\n"), filepath.Join(t.TempDir(), "out.jsonl")
		code, _, stderr := run(t, slices.Concat([]string{"grade", "--in", in, "--out", out}, tc.args)...)
		if code != ExitOK {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
			continue
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var got graded
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestVerifiersThatCannotBe(t *testing.T) {
	in := file(t, "in.jsonl", `{"response":"x","ground_truth":"y"}`+"\n")
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--verifier", "numeric", "--set", "reward.threshold=0.5"}, ExitUsage, "reward.threshold: is for the verifier f1"},
		{[]string{"--verifier", "f1", "--set", "sampling.n=2"}, ExitUsage, "--set sampling.n=2: only keys of reward are for grade"},
		{[]string{"--set", "reward.verifer=f1"}, ExitUsage, `unknown key "verifer"`},
		{[]string{"--verifier", "command", "--set", "reward.command=[no-such-program]"}, ExitFailed, "no-such-program"},
		{[]string{"--verifier", "http", "--set", "reward.url=localhost"}, ExitFailed, `"localhost"`},
		{[]string{"--verifier", "http", "--set", "reward.url=http://127.0.0.1:1/x"}, ExitServer, "http://127.0.0.1:1/x"},
		{[]string{"--verifier", "numeric"}, ExitFailed, "in.jsonl:1: numeric: the ground truth must be a number"},
	} {
		out := filepath.Join(t.TempDir(), "out.jsonl")
		code, _, stderr := run(t, slices.Concat([]string{"grade", "--in", in, "--out", out}, tc.args)...)
		if code != tc.code || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q; want %d and %q", tc.args, code, stderr, tc.code, tc.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: something was written", tc.args)
		}
	}
}

// A run's samplers take the limits of its configuration.
func TestSamplersTakeTheVerifiersLimits(t *testing.T) {
	cfg, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"reward.timeout=7s", "reward.max_unscored=0.25", "reward.verifier=command", "reward.workers=3", "reward.command=[cat]"} {
		if err := cfg.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	training, validation := samplers(cfg, long{}, nil, nil, nil)
	for _, s := range []any{training, validation} {
		if got := fmt.Sprintf("%+v", s); !strings.Contains(got, "VerifyConcurrency:3 VerifyTimeout:7s") || !strings.Contains(got, "MaxUnscored:0.25") {
			t.Errorf("%s", got)
		}
	}
	if training == validation {
		t.Error("training and validation share a sampler")
	}
}

// A command is found again from wherever the run is resumed.
func TestCommandsAreIndependentOfTheFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"verify.py", "prog", "python3"} {
		if err := os.WriteFile(name, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ given, want []string }{
		{[]string{"python3", "-u", "verify.py", "none.py", "."}, []string{"python3", "-u", filepath.Join(dir, "verify.py"), "none.py", "."}},
		{[]string{"./prog", "--in", "prog"}, []string{filepath.Join(dir, "prog"), "--in", filepath.Join(dir, "prog")}},
	} {
		cfg := config.Config{Reward: config.Reward{Command: tc.given, Python: "python3"}}
		if err := absolute(&cfg); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, cfg.Reward.Command); d != "" || cfg.Reward.Python != "python3" {
			t.Errorf("(-want +got), python %s:\n%s", cfg.Reward.Python, d)
		}
	}
}

// Verdicts are compared with the other of strict box and rule grader, and the
// grader is never started for that alone.
func TestOtherVerifier(t *testing.T) {
	grader := fakeGrader{}
	for _, tc := range []struct {
		name, verifier, validation string
		held                       sampler.Verifier
		want                       sampler.Verifier
	}{
		{"the grader that validation has", config.VerifierStrictBox, config.VerifierRule, grader, grader},
		{"no held-out problems", config.VerifierStrictBox, config.VerifierRule, reward.StrictBox{}, nil},
		{"validation by the strict box too", config.VerifierStrictBox, "", reward.StrictBox{}, nil},
		{"training by the grader", config.VerifierRule, "", grader, reward.StrictBox{}},
		{"a third", config.VerifierExact, config.VerifierRule, reward.Exact{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := config.Preset("tiny-cpu")
			if err != nil {
				t.Fatal(err)
			}
			c.Reward.Verifier, c.Validation.Verifier = tc.verifier, tc.validation
			if got := other(c, reward.StrictBox{}, tc.held); got != tc.want {
				t.Errorf("%T, want %T", got, tc.want)
			}
		})
	}
}

type fakeGrader struct{}

func (fakeGrader) Verify(context.Context, string, string) (sampler.Score, error) {
	return sampler.Score{}, nil
}
