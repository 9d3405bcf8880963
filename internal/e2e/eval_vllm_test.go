//go:build torch && vllm

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/sampler/dataset"
)

// evalArgs is the nine sets, four problems of each, three answers to each.
func evalArgs(t *testing.T, out string, more ...string) []string {
	t.Helper()
	return append([]string{
		"eval", "--server", server, "--bench", "all", "--data-dir", shared(t, "data/benchmarks"),
		"--limit", "4", "--n", "3", "--max-tokens", "64", "--concurrency", "3", "--out", out,
	}, more...)
}

const evalAnswers = 9 * 4 * 3

// answers are the lines of all generations files of an evaluation, by set.
func answers(t *testing.T, out string) map[string][]benchmarks.Generation {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(out, "*_t*_p*_n*-MNT*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]benchmarks.Generation{}
	for _, path := range paths {
		b := content(t, path)
		whole := b[:bytes.LastIndexByte(b, '\n')+1] // a killed writer leaves half a line at most
		all[filepath.Base(path)] = readLines[benchmarks.Generation](t, whole)
	}
	return all
}

func count(all map[string][]benchmarks.Generation) (n int) {
	for _, a := range all {
		n += len(a)
	}
	return n
}

// An evaluation of all nine sets on a real server, killed twice in the middle,
// asks for what is missing and nothing twice, and its table is complete.
func TestVLLMEvalIsKilledAndGoesOn(t *testing.T) {
	out := filepath.Join(t.TempDir(), "eval")
	for _, part := range []int{evalAnswers / 5, evalAnswers / 2} {
		cmd := process(t, evalArgs(t, out)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.Discard, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var failed error // once it has ended
		ended := make(chan struct{})
		go func() {
			failed = cmd.Wait()
			close(ended)
		}()
		for deadline := time.Now().Add(5 * time.Minute); ; {
			if _, err := os.Stat(out); err == nil && count(answers(t, out)) >= part {
				break
			}
			select {
			case <-ended:
				t.Fatalf("it ended before it could be killed: %v\n%s", failed, said.Bytes())
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %d answers in 5 minutes\n%s", part, said.Bytes())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
		if n := count(answers(t, out)); n >= evalAnswers {
			t.Fatalf("all %d answers were there before the kill", n)
		}
	}
	before := answers(t, out)

	must(t, evalArgs(t, out)...)
	after := answers(t, out)
	seeds := map[string]bool{}
	for name, all := range after {
		if !slices.Equal(all[:len(before[name])], before[name]) {
			t.Errorf("%s: what was there before the kill is not there any more", name)
		}
		asked := map[string]bool{}
		for _, g := range all {
			if g.Response == "" || g.Tokens < 1 || g.FinishReason == "" {
				t.Errorf("%s: %+v", name, g)
			}
			asked[fmt.Sprint(g.ExampleID, " ", g.Seed)] = true
			seeds[fmt.Sprint(name, g.Seed)] = true
		}
		if len(all) != 4*3 || len(asked) != 4*3 {
			t.Errorf("%s: %d answers, %d pairs of a problem and a seed", name, len(all), len(asked))
		}
	}
	if len(after) != 9 || len(seeds) != 9*3 {
		t.Errorf("%d sets, %d seeds: want 9, and 3 in each", len(after), len(seeds))
	}
	table := string(content(t, filepath.Join(out, "results.md")))
	if rows := strings.Count(table, "\n") - 2; rows != 9+1 { // and the mean
		t.Errorf("%d rows:\n%s", rows, table)
	}

	// An undisturbed one asks for the same.
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	must(t, evalArgs(t, undisturbed)...)
	key := func(all []benchmarks.Generation) (keys []string) {
		for _, g := range all {
			keys = append(keys, fmt.Sprintf("%d %d %s", g.ExampleID, g.Seed, g.Prompt))
		}
		slices.Sort(keys)
		return keys
	}
	for name, all := range answers(t, undisturbed) {
		if !slices.Equal(key(all), key(after[name])) {
			t.Errorf("%s: an undisturbed evaluation asked for others", name)
		}
	}
}

var succeeded = regexp.MustCompile(`(?m)^vllm:request_success_total\{.*\} ([0-9.e+]+)$`)

// finished is how many requests a vLLM has answered.
func finished(t *testing.T, url string) (n float64) {
	t.Helper()
	resp, err := client(t).Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	for _, m := range succeeded.FindAllSubmatch(b, -1) {
		x, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		n += x
	}
	return n
}

// A model on a second server is asked about exactly the answers that the rules
// reject, each once. (It says what a policy says that can only add: no letter.)
func TestEvalJudgeOnASecondServer(t *testing.T) {
	second := serveVLLM(t, policy, "--max-model-len", "2048")
	// The shipped criteria alone are longer than this policy's context.
	template := filepath.Join(t.TempDir(), "judge.txt")
	if err := os.WriteFile(template, []byte("{{question}}\n{{truth}}\n{{response}}\nA or B?"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(t.TempDir(), "trained.txt") // as the policy was warmed up
	if err := os.WriteFile(asked, []byte(dataset.TrainingPrompt("{{question}}")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "eval")
	args := []string{
		"eval", "--server", server, "--bench", heldOut, "--limit", "40", "--n", "2", "--max-tokens", "64", "--template", asked, "--out", out,
		"--judge", second, "--judge-template", template,
	}
	must(t, args...)
	out = filepath.Join(out, "trained") // a template has a folder of its own
	rejected, right := map[string]bool{}, 0
	all := answers(t, out)
	for _, v := range readLines[struct {
		File string
		Line int
		benchmarks.Verdict
	}](t, content(t, filepath.Join(out, "verdicts.jsonl"))) {
		if v.By == benchmarks.ByRule {
			right++
			if !v.Correct {
				t.Errorf("rejected, and the judge was not asked: %+v", v)
			}
			continue
		}
		g := all[v.File][v.Line-1]
		rejected[g.Prompt+"\n"+g.Answer+"\n"+g.Response] = true
	}
	if right == 0 || len(rejected) == 0 {
		t.Fatalf("%d right, %d rejected: both are needed", right, len(rejected))
	}
	if n := finished(t, second); n != float64(len(rejected)) {
		t.Errorf("the judge was asked %g times, %d distinct answers were rejected", n, len(rejected))
	}
	must(t, args...) // what is no letter is no verdict, and asked about once more
	if n := finished(t, second); n != 2*float64(len(rejected)) {
		t.Errorf("asked %g times in all, want %d", n, 2*len(rejected))
	}
}
