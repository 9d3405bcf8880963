package sweep

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a recipe does not say is what all have; settings add up, lists are replaced.
func TestTrainingSpec(t *testing.T) {
	dir := folder(t, map[string]string{"policy/config.json": "{}", "train.jsonl": sums, "base.yaml": "steps: 3\n"})
	s, err := read("s.yaml", dir, []byte(`training:
  runs:
    - name: plain
    - preset: dapo
      set: [a.b=2, c=3]
      seeds: 7
      model: ORG/NAME
      validation: AIME24
      stages: [{steps: 5, max_tokens: 9, set: x=1}, {max_tokens: 10}]
  preset: tiny-cpu
  model: policy
  data: ./train.jsonl
  config: base.yaml
  validation: [MATH-500, train.jsonl]
  servers: http://a:1/v1
  seeds: [2, 1]
  steps: 10
  set: a.b=1
`))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	want := []*Training{
		{Name: "tiny-cpu", Preset: "tiny-cpu"},
		{Name: "dapo", Preset: "dapo", Set: []string{"a.b=1", "a.b=2", "c=3"}, Seeds: []int64{7}, Model: "ORG/NAME", Validation: []string{"AIME24"},
			Stages: []Stage{{5, []string{"sampling.max_tokens=9", "x=1"}}, {0, []string{"sampling.max_tokens=10"}}}},
	}
	want[0].Name, want[0].Set, want[0].Seeds, want[0].Model, want[0].Validation = "plain", []string{"a.b=1"}, []int64{2, 1}, at("policy"), []string{"MATH-500", at("train.jsonl")}
	for i, w := range want {
		w.Config, w.Data, w.Servers, w.Steps = at("base.yaml"), at("train.jsonl"), []string{"http://a:1"}, 10
		w.Where = []string{"s.yaml:3: training.runs[0]", "s.yaml:4: training.runs[1]"}[i]
	}
	if d := cmp.Diff(want, s.Training); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var names []string
	for _, r := range s.Runs("/out") {
		names = append(names, r.Dir)
	}
	if !slices.Equal(names, []string{"/out/runs/plain-seed-2", "/out/runs/dapo-seed-7", "/out/runs/plain-seed-1"}) {
		t.Errorf("%q", names)
	}
}

func TestFaultsOfTraining(t *testing.T) {
	dir := folder(t, map[string]string{"policy/config.json": "{}"})
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "training: {model: policy}", []string{"s.yaml:1: training: needs runs"}},
		{"a list of names", "training: {model: policy, data: d, runs: [a, b]}", []string{"training.runs[0]: must be keys", "training.runs[1]: must be keys"}},
		{"all at once", "training:\n  model: policy\n  data: d\n  config: gone.yaml\n  runs:\n    - name: a\n      seeds: [1, -1]\n      servers: ftp://x\n      steps: 0\n    - name: b\n      nam: c\n", []string{
			"s.yaml:4: training.config: ", "s.yaml:7: training.runs[0].seeds[1]: must be from 0", "s.yaml:8: training.runs[0].servers: is \"ftp://x\"", "s.yaml:9: training.runs[0].steps: must be", "s.yaml:11: unknown key training.runs[1].nam; there are config, data, ",
		}},
		{"evaluations beside it", "training: {model: policy, data: d, runs: {name: a}}\nsets: all\nlimit: 3", []string{"sets: is for evaluations", "limit: is for evaluations"}},
		{"a name for all", "training: {name: a, model: policy, data: d, runs: {preset: a}}", []string{"unknown key training.name"}},
		{"too many", "training: {model: policy, data: d, seeds: [" + strings.TrimSuffix(strings.Repeat("1, ", 2), ", ") + "], runs: {name: a}}", []string{"has 1 twice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read("s.yaml", dir, []byte(c.text))
			faults, _ := err.(Faults) //nolint:errorlint // read returns it as it is
			if len(faults) != len(c.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(faults), len(c.want), err)
			}
			for i, f := range faults {
				if !strings.Contains(f.Error(), c.want[i]) {
					t.Errorf("%v\nwant %s", f, c.want[i])
				}
			}
		})
	}
}
