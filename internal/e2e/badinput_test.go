//go:build torch

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/sampler/openaitest"
)

const fixtures = "../../updater/torch/testdata/"

// refused runs a command line that must fail with a code and one line that
// says all of wants, and must leave every folder of unchanged as it was.
func refused(t *testing.T, code int, wants []string, unchanged string, args ...string) {
	t.Helper()
	before := tree(t, unchanged)
	r := justrl(t.Context(), t, args...)
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if n := strings.Count(r.stderr, "\n"); n != 1 {
		t.Errorf("%d lines on stderr, want one:\n%s", n, r.stderr)
	}
	for _, w := range wants {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("%q does not say %q", strings.TrimSpace(r.stderr), w)
		}
	}
	if after := tree(t, unchanged); !slices.Equal(before, after) {
		t.Errorf("something was left behind: before %v, after %v", before, after)
	}
}

// tree lists what is in a folder, sizes included.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			path = fmt.Sprintf("%s %d", path, info.Size())
		}
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// copied is a fixture model in a folder of its own.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit replaces a part of a file that must be there.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s has no %s", path, from)
	}
	write(t, path, strings.Replace(string(b), from, to, 1))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// damages are the ways in which a folder of weights can be wrong.
var damages = []struct {
	name, model string
	do          func(t *testing.T, dir string)
	wants       []string
}{
	{"missing", "qwen2_tied", func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
	}, []string{"model.safetensors", "model folder"}},
	{"cut short", "qwen2_tied", func(t *testing.T, dir string) {
		if err := os.Truncate(filepath.Join(dir, "model.safetensors"), 20000); err != nil {
			t.Fatal(err)
		}
	}, []string{"model.safetensors", "truncated", "copy it again"}},
	{"garbage", "qwen2_tied", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "model.safetensors"), strings.Repeat("no weights ", 100))
	}, []string{"model.safetensors", "not a safetensors file"}},
	{"a shard that the index names is not there", "llama3_scaled", func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, "model-00002-of-00002.safetensors")); err != nil {
			t.Fatal(err)
		}
	}, []string{"model.safetensors.index.json", "model-00002-of-00002.safetensors"}},
	{"wrong shapes", "qwen2_tied", func(t *testing.T, dir string) {
		edit(t, filepath.Join(dir, "config.json"), `"intermediate_size": 48`, `"intermediate_size": 64`)
	}, []string{"gate_proj.weight", "[48 ", "[64 "}},
	{"unknown architecture", "qwen2_tied", func(t *testing.T, dir string) {
		edit(t, filepath.Join(dir, "config.json"), "Qwen2ForCausalLM", "MambaForCausalLM")
	}, []string{"config.json", "MambaForCausalLM", "Qwen2ForCausalLM"}},
	{"a setting that changes the arithmetic", "qwen2_tied", func(t *testing.T, dir string) {
		edit(t, filepath.Join(dir, "config.json"), `"hidden_act": "silu"`, `"hidden_act": "gelu"`)
	}, []string{"config.json", "hidden_act", "gelu"}},
}

// Every command that loads a model refuses a bad one in the same words.
func TestBadModels(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			model := copied(t, fixtures+d.model)
			d.do(t, model)
			dir := t.TempDir()
			seqs := write(t, filepath.Join(dir, "seqs.jsonl"), `{"id":1,"token_ids":[1,2,3]}`+"\n")
			rollouts := write(t, filepath.Join(dir, "rollouts.jsonl"), rollout(`"reward":1`)+rollout(`"reward":-1`))
			out := filepath.Join(dir, "out")
			refused(t, cli.ExitFailed, d.wants, dir, "logprobs", "--model", model, "--in", seqs, "--out", out)
			refused(t, cli.ExitFailed, d.wants, dir, "update", "--model", model, "--rollouts", rollouts, "--out", out)
		})
	}
}

func rollout(rest string) string {
	return `{"group":0,"prompt_token_ids":[1,2],"token_ids":[3,4],"logprobs":null,` + rest + "}\n"
}

// What is wrong with a file of sequences or rollouts is told with its line.
func TestBadLines(t *testing.T) {
	model := fixtures + "qwen2_tied"
	for _, tc := range []struct{ name, command, lines, want string }{
		{"token outside the vocabulary", "logprobs", `{"id":1,"token_ids":[1,2,3]}` + "\n" + `{"id":2,"token_ids":[1,99999]}` + "\n", ":2: token_ids[1] is 99999"},
		{"negative token", "logprobs", `{"id":1,"token_ids":[1,-1]}`, ":1: token_ids[1] is -1"},
		{"one token", "logprobs", `{"id":1,"token_ids":[1]}`, ":1: token_ids has 1 tokens"},
		{"not JSON", "logprobs", "{\"id\":1,\"token_ids\":[1,2]}\n\n<html>\n", ":3: "},
		{"no lines", "logprobs", "", "no lines"},
		{"prompt outside the vocabulary", "update", rollout(`"reward":1`) + `{"group":0,"prompt_token_ids":[7777],"token_ids":[1],"reward":1}`, ":2: prompt_token_ids[0] is 7777"},
		{"response outside the vocabulary", "update", `{"group":0,"prompt_token_ids":[7],"token_ids":[7777],"reward":1}`, ":1: token_ids[0] is 7777"},
		{"empty response", "update", `{"group":0,"prompt_token_ids":[7],"token_ids":[],"reward":1}`, ":1: prompt_token_ids and token_ids"},
		{"no reward", "update", `{"group":0,"prompt_token_ids":[7],"token_ids":[7]}`, ":1: has no reward"},
		{"no group", "update", `{"prompt_token_ids":[7],"token_ids":[7],"reward":1}`, ":1: has no group"},
		{"a reward that is no number", "update", rollout(`"reward":1`) + rollout(`"reward":"high"`), ":2: "},
		{"a reward that is NaN", "update", rollout(`"reward":1`) + rollout(`"reward":NaN`), ":2: reward is NaN"},
		{"unequal groups", "update", rollout(`"reward":1`) + strings.Repeat(strings.Replace(rollout(`"reward":1`), `"group":0`, `"group":3`, 1), 2), ":2: group 3 begins here and has 2 rollouts"},
		{"a token that is null", "logprobs", `{"id":1,"token_ids":[1,null]}`, ":1: token_ids has null"},
		{"too few log-probs", "update", `{"group":0,"prompt_token_ids":[7],"token_ids":[7,8],"logprobs":[-1],"reward":1}`, ":1: logprobs has 1 entries for 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			in := write(t, filepath.Join(dir, "in.jsonl"), tc.lines)
			flag := map[string]string{"logprobs": "--in", "update": "--rollouts"}[tc.command]
			refused(t, cli.ExitFailed, []string{in, tc.want}, dir, tc.command, "--model", model, flag, in, "--out", filepath.Join(dir, "out"))
		})
	}
}

// A folder with something in it is not written over.
func TestUpdateRefusesToOverwrite(t *testing.T) {
	dir := t.TempDir()
	rollouts := write(t, filepath.Join(dir, "rollouts.jsonl"), rollout(`"reward":1`)+rollout(`"reward":-1`))
	out := filepath.Join(dir, "precious")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, "thesis.txt"), "draft")
	refused(t, cli.ExitFailed, []string{out}, dir, "update", "--model", fixtures+"qwen2_tied", "--rollouts", rollouts, "--out", out)
}

// serve is a fake server for the shipped policy, so far as a start looks at it.
func serve(t *testing.T, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	o := openaitest.Options{Model: "policy", ModelDir: policy, Vocab: vocabulary(t), MaxModelLen: 2048}
	if change != nil {
		change(&o)
	}
	return openaitest.New(t, o)
}

func vocabulary(t *testing.T) int {
	return readJSON[struct {
		Vocab int `json:"vocab_size"`
	}](t, policy+"/config.json").Vocab
}

// A run that cannot be says so before it writes or trains anything.
func TestBadRuns(t *testing.T) {
	good := serve(t, nil).URL
	gone := openaitest.New(t, openaitest.Options{})
	gone.Close()
	dir := t.TempDir()
	file := func(name, text string) string { return write(t, filepath.Join(dir, name), text) }
	noAnswers := file("no-answers.jsonl", `{"problem":"1+1?"}`+"\n")
	noColumns := file("columns.jsonl", `{"question":"1+1?","solution":"2"}`+"\n")
	empty := file("empty.jsonl", "")
	badKey := file("bad-key.yaml", "preset: tiny-cpu\nsampling:\n  n: 8\n  temprature: 1.0\n")
	broken := copied(t, policy)
	if err := os.Truncate(filepath.Join(broken, "model.safetensors"), 1000); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		code  int
		flags []string // over those of a good run
		wants []string
	}{
		{"unknown key", cli.ExitUsage, []string{"--config", badKey}, []string{badKey + ":4:", `"temprature"`}},
		{"unreachable server", cli.ExitServer, []string{"--server", gone.URL}, []string{gone.URL, "start the server"}},
		{"another model", cli.ExitServer, []string{"--server", serve(t, func(o *openaitest.Options) { o.Model = "llama" }).URL, "--served-model", "policy"}, []string{`"policy"`, "it serves llama"}},
		{"another vocabulary", cli.ExitServer, []string{"--server", serve(t, func(o *openaitest.Options) { o.Vocab = 151936 }).URL}, []string{"vocabulary of 151936", fmt.Sprint(vocabulary(t))}},
		{"no dev mode", cli.ExitServer, []string{"--server", serve(t, func(o *openaitest.Options) { o.NoDevMode = true }).URL}, []string{"dev mode is off", "VLLM_SERVER_DEV_MODE=1"}},
		{"a short context", cli.ExitServer, []string{"--server", serve(t, func(o *openaitest.Options) { o.MaxModelLen = 128 }).URL}, []string{"context of 128", "--max-model-len"}},
		{"a context too short for validation", cli.ExitServer, []string{"--server", serve(t, func(o *openaitest.Options) { o.MaxModelLen = 512 }).URL, "--validation", heldOut, "--set", "validation.max_tokens=1000"}, []string{"context of 512", "--max-model-len 1256", "validation.max_tokens"}},
		{"data without the columns", cli.ExitFailed, []string{"--data", noColumns}, []string{noColumns, "line 1", "problem and answer", "question, solution"}},
		{"data without answers", cli.ExitFailed, []string{"--data", noAnswers}, []string{noAnswers, "line 1"}},
		{"empty data", cli.ExitFailed, []string{"--data", empty}, []string{empty, "empty"}},
		{"no data", cli.ExitFailed, []string{"--data", "/nowhere/train.parquet"}, []string{"/nowhere/train.parquet", "no such file"}},
		{"validation that is not there", cli.ExitFailed, []string{"--validation", "/nowhere/held.jsonl"}, []string{"/nowhere/held.jsonl"}},
		{"broken weights", cli.ExitFailed, []string{"--model", broken}, []string{"model.safetensors", "truncated"}},
		{"a GPU that is not there", cli.ExitFailed, []string{"--device", "cuda:99"}, []string{"CUDA"}},
		{"no tokenizer", cli.ExitFailed, []string{"--model", fixtures + "qwen2_tied"}, []string{"tokenizer.json"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := map[string]string{"--server": good, "--model": policy, "--data": train, "--out": filepath.Join(dir, "run")}
			for i := 0; i < len(tc.flags); i += 2 {
				given[tc.flags[i]] = tc.flags[i+1]
			}
			if given["--config"] == "" {
				given["--preset"] = "tiny-cpu"
			}
			args := []string{"run"}
			for flag, value := range given {
				args = append(args, flag, value)
			}
			refused(t, tc.code, tc.wants, dir, args...)
		})
	}
}

// A directory with a run in it is not started over, and one without is not resumed.
func TestRunDirectories(t *testing.T) {
	dir := t.TempDir()
	refused(t, cli.ExitUsage, []string{"nothing", "no run to resume"}, dir, "run", "--resume", "--out", filepath.Join(dir, "nothing"))
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(run, "run.json"), "{}")
	write(t, filepath.Join(run, "run.lock"), "")
	write(t, filepath.Join(run, "steps.jsonl"), `{"step":0}`+"\n")
	refused(t, cli.ExitFailed, []string{run, "--resume"}, dir,
		"run", "--preset", "tiny-cpu", "--server", serve(t, nil).URL, "--model", policy, "--data", train, "--out", run)
}
