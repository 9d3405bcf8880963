package sweep

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/atomicdir"
)

// checkpoint makes one of a run, with made-up weights.
func checkpoint(t *testing.T, dir, weights string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := atomicdir.Create(dir, atomicdir.Marker{Version: 7, Step: 100}, func(tmp string) error {
		return os.WriteFile(filepath.Join(tmp, "model.safetensors"), []byte(weights), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFaultsOfASpec(t *testing.T) {
	dir := folder(t, map[string]string{
		"sums.jsonl": sums, "short.txt": "{{question}} Box it.", "none.txt": "hello", "empty.jsonl": "", "bad.jsonl": "{\n",
		"sub/short.txt": "{{question}}", "animals.csv": animals, "AIME24.jsonl": sums, "math_500.jsonl": sums, "hidden/.jsonl": sums,
	})
	checkpoint(t, filepath.Join(dir, "runs/x/checkpoints/step-000100"), "a")
	if err := os.MkdirAll(filepath.Join(dir, "runs/x/checkpoints/step-000200"), 0o777); err != nil {
		t.Fatal(err)
	}
	const rest = "\nservers: http://a:1\nsets: sums.jsonl\n"
	for _, c := range []struct {
		name, text string
		want       []string // one a fault, in order; nil is none
	}{
		{"the least", "models: m" + rest, nil},
		{"anchors", "models: &m [a, b]\nservers: [http://a:1]\nsets: sums.jsonl\nsampling: {n: &n 3, seed: [*n, 4]}", nil},
		{"nothing", "", []string{"must be one YAML document"}},
		{"not YAML", "models: [a\nservers: }", []string{"s.yaml:"}},
		{"a list", "- a", []string{"s.yaml:1: must be keys with values, is a list"}},
		{"no models", rest, []string{"s.yaml: models: is missing"}},
		{"a key twice", "models: a\nmodels: b" + rest, []string{`s.yaml:2: mapping key "models" already defined`}},
		{"several faults at once", "models: m\nservers:\n  - http://a:1\n  - url: ftp://b\n    concurency: 3\nsets: [AIME23, sums.jsonl]\nsampling:\n  top_p: [0.9, 0]\n  n: 0\ntemplates: [paper, gone.txt]\nlimits: 3\n",
			[]string{
				`s.yaml:4: servers[1].url: is "ftp://b", want the address of a server like http://host:8000`,
				"s.yaml:5: unknown key servers[1].concurency; there are api_key_env, concurrency, name, tokens_per_second, url",
				`s.yaml:6: sets[0]: there is no set "AIME23"; `,
				"s.yaml:8: sampling.top_p[1]: must be above 0 and at most 1, is 0",
				"s.yaml:9: sampling.n: must be from 1 to 1048576, is 0",
				"s.yaml:10: templates[1]: ",
				"s.yaml:11: unknown key limits; there are data_dir, judges, limit, models, sampling, servers, set, sets, templates, training, verifier",
			}},
		{"numbers that are none", "models: m" + rest + "sampling: {temperature: hot, n: 2.5, seed: 1e3, max_tokens: 99999999999999999999}\nlimit: many",
			[]string{`:4: sampling.temperature: must be a number from 0 to 2, is "hot"`, ":4: sampling.n: must be a whole number, is 2.5", ":4: sampling.seed: must be a whole number", ":4: sampling.max_tokens: ", `:5: limit: must be a whole number, is "many"`}},
		{"not finite", "models: m" + rest + "sampling: {temperature: .nan}", []string{"sampling.temperature: "}},
		{"a sampling twice", "models: m" + rest + "sampling:\n  - {seed: [1, 2]}\n  - {seed: 2}", []string{"s.yaml:6: sampling[1]: has t0.7-p0.9-npaper-m31744-s2 twice"}},
		{"a set twice", "models: m\nservers: http://a:1\nsets: [aime24, all]", []string{"s.yaml:3: sets[1]: a set called AIME24 is there already"}},
		{"files that are no sets", "models: m\nservers: http://a:1\nsets: [gone.jsonl, empty.jsonl, bad.jsonl]", []string{"sets[0]: there is no file", "sets[1]: ", "sets[2]: "}},
		{"a file's columns", "models: m\nservers: http://a:1\nsets: [{set: animals.csv, question: q, choices: [a, b], answer: right, answer_is: number, instruction: A letter.}, {set: aime24}, {set: sums.jsonl, name: more}]", nil},
		{"columns that are none", "models: m\nservers: http://a:1\nsets:\n- {set: animals.csv, question: q, answr: right}\n- {set: animals.csv, question: q}\n- {set: animals.csv, question: q, answer: right, answer_is: name, instruction: '{{choices}}'}\n- {question: q, answer: right}\n- {set: gone.csv, question: q, answer: right}\n- {set: aime24, question: q, answer: right}\n- {set: animals.csv, question: q, answer: gone}\n- {set: sums.jsonl, name: a_b}\n- {set: sums.jsonl, name: hmmt25}",
			[]string{
				"s.yaml:4: unknown key sets[0].answr; there are answer, answer_is, choices, instruction, name, question, set",
				"s.yaml:5: sets[1]: question and answer: other columns need both",
				"s.yaml:6: sets[2]: answer_is: is about choices, and there are none; answer_is: must be letter, index, number or text, is \"name\"",
				"s.yaml:6: sets[2]: has places but not always {{question}}",
				"s.yaml:7: sets[3]: needs a set: one of the nine, or",
				"s.yaml:8: sets[4]: there is no file",
				"s.yaml:9: sets[5]: aime24 is one of the nine, whose columns are known",
				"s.yaml:10: sets[6]: dataset",
				"s.yaml:11: sets[7]: name: no file can be named after task \"a_b\"",
				"s.yaml:12: sets[8]: name: hmmt25 is one of the nine",
			}},
		{"files called as sets are", "models: m\nservers: http://a:1\nsets:\n- AIME24.jsonl\n- ./math_500.jsonl\n- {set: AIME24.jsonl, instruction: Say it.}\n- hidden/.jsonl\n- {set: AIME24.jsonl, name: mine}",
			[]string{
				"AIME24.jsonl: AIME24 is one of the nine: give the set another name (name: …)", "math_500.jsonl: math-500 is one of the nine: give", "sets[2]: ",
				".jsonl: the set has no name: give the set",
			}},
		{"one file, twice", "models: m\nservers: http://a:1\nsets: [sums.jsonl, {set: sums.jsonl, instruction: Say it.}]", []string{"s.yaml:3: sets[1]: a set called sums is there already: give it a name"}},
		{"templates of one name", "models: m" + rest + "templates: [short.txt, sub/short.txt, none.txt]", []string{"templates[1]: a template called short", "templates[2]: "}},
		{"models of one name", "models: [a/b, {model: x, name: a_b}]" + rest, []string{"models[1]: a model called a/b is there already"}},
		{"a server twice", "models: m\nservers: [http://a:1, 'http://a:1/v1', {url: 'http://b:1', name: 'http://a:1'}]\nsets: sums.jsonl",
			[]string{"servers[1]: http://a:1 is there already, as http://a:1", "servers[2]: http://b:1 is there already, as http://a:1"}},
		{"no such server", "models: [{model: m, servers: [first]}]" + rest, []string{"s.yaml:1: servers: of m: there is no server first"}},
		{"no such environment", "models: m\nservers: [{url: 'http://a:1', api_key_env: JUSTRL_TEST_NONE}]\nsets: sums.jsonl", []string{"the environment has no JUSTRL_TEST_NONE"}},
		{"judges", "models: m" + rest + "judges: [none, none, http://j:1, {url: 'http://k:1'}, {name: x}]",
			[]string{"judges[1]: none is there already", "judges[3]: a judge called judge is there already", "judges[4]: a judge needs a url"}},
		{"a checkpoint", "models: runs/x/checkpoints/step-000100" + rest, nil},
		{"a checkpoint that is not complete", "models: runs/x/checkpoints/step-000200" + rest, []string{"is no complete checkpoint"}},
		{"a checkpoint that is not there", "models: runs/x/checkpoints/step-000300" + rest, []string{"is no complete checkpoint"}},
		{"a checkpoint and two servers", "models: runs/x/checkpoints/step-000100\nservers: [http://a:1, http://b:1]\nsets: sums.jsonl", []string{"say with servers which of the 2 is to load it"}},
		{"an embedded server", "models: {model: runs/x/checkpoints/step-000100, servers: embedded}\nservers: embedded\nsets: sums.jsonl", nil},
		{"no other server than the embedded one", "models: runs/x/checkpoints/step-000100\nservers: embedded\nsets: sums.jsonl", nil},
		{"no other server, and no folder", "models: m\nservers: embedded\nsets: sums.jsonl", []string{"the embedded server needs the folder of a model"}},
		{"an embedded server without a folder", "models: {model: m, servers: embedded}" + rest, []string{"the embedded server needs the folder of a model"}},
		{"an alias of nothing", "models: *m" + rest, []string{"m"}},
		{"an alias of itself", "models: &m [*m]" + rest, []string{"models[0]"}},
		{"a verifier's key", "models: m" + rest + "set: sampling.n=3", []string{`set: is "sampling.n=3": only keys of reward`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := read("s.yaml", dir, []byte(c.text))
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Models) == 0 || len(s.Sampling) == 0 || len(s.Templates) == 0 || len(s.Judges) == 0 {
					t.Errorf("%+v", s)
				}
				return
			}
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v", err)
			}
			if len(faults) != len(c.want) {
				t.Errorf("%d faults, want %d:\n%v", len(faults), len(c.want), err)
			}
			for i, w := range c.want {
				if i < len(faults) && (!strings.Contains(faults[i].Error(), w) || strings.Contains(faults[i].Error(), "\n")) {
					t.Errorf("fault %d is\n%v\nwant one line with\n%s", i, faults[i], w)
				}
			}
		})
	}
}

func TestReadsTheExample(t *testing.T) {
	s, err := Read("../../examples/sweep.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Models) != 2 || len(s.Servers) != 2 || len(s.Sets) != 3 || len(s.Sampling) != 2 || len(s.Templates) != 2 || s.Limit != 100 || s.Verifier != "rule" {
		t.Errorf("%+v", s)
	}
	if m := s.Models[1]; m.Name != "justrl" || len(m.Servers) != 1 || m.Servers[0].Name != "second" || m.Any {
		t.Errorf("%+v", m)
	}
	if m := s.Models[0]; !m.Any || len(m.Servers) != 2 || m.Served != "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B" {
		t.Errorf("%+v", m)
	}
}

func FuzzSpec(f *testing.F) {
	dir := f.TempDir()
	example, err := os.ReadFile("../../examples/sweep.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(example), "models: &a [*a]", "models: {? a : b}", "sampling: {n: [1, [2]]}", "training: {model: m, data: d, seeds: [1, 2], set: a=b, runs: [{name: a, stages: [{steps: 1, max_tokens: 2}]}]}", "training: &t {runs: *t}", "<<: *x", "a: !!binary x", "- - -", "models: \"\x00\"", "sets: {set: x, question: |\n  a\n, choices: [1, {}]}", "sets:\n- set: a.csv\n  instruction: |\n    a\n    b\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := read("s.yaml", dir, text)
		var faults Faults
		if err == nil && len(s.Training) == 0 && (len(s.Models) == 0 || len(s.Servers) == 0 || len(s.Sets) == 0) {
			t.Errorf("%+v", s)
		}
		if err != nil && (!errors.As(err, &faults) || len(faults) == 0) {
			t.Errorf("error %v", err)
		}
		for _, fault := range faults {
			if !strings.HasPrefix(fault.Error(), "s.yaml") {
				t.Errorf("fault %q names no file", fault)
			}
		}
	})
}

const animals = "q,a,b,right\nWhich barks?,a cat,a dog,2\nWhich meows?,a cat,a dog,1\n"

// A set of other columns is read as the spec says, its instruction of several lines too.
func TestColumnsOfASet(t *testing.T) {
	dir := folder(t, map[string]string{"animals.csv": animals})
	s := spec(t, dir, `
models: m
servers: http://a:1
sets:
  - set: animals.csv
    name: pets
    question: q
    choices: [a, b]
    answer: right
    answer_is: number
    instruction: |
      {{question}}
      {{choices}}
      Say the letter.
`)
	if len(s.Sets) != 1 || s.Sets[0].Name != "pets" || s.Sets[0].Rows != 2 || s.Sets[0].N != ownN {
		t.Fatalf("%+v", s.Sets[0])
	}
	problems, err := s.Sets[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := problems[0]; p.Answer != "B" || p.Message != "Which barks?\nA. a cat\nB. a dog\nSay the letter." {
		t.Errorf("%+v", p)
	}
}
