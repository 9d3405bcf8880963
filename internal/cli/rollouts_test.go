package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

func TestReadGroups(t *testing.T) {
	text := "\xef\xbb\xbf" + `{"group":7,"sample":0,"prompt_token_ids":[1],"token_ids":[2,3],"logprobs":[-0.5,-1e-3],"reward":1,"text":"x"}
{"group":-3,"prompt_token_ids":[4],"token_ids":[5],"logprobs":null,"reward":-0.25}

{"group":7,"sample":1,"prompt_token_ids":[1],"token_ids":[6],"reward":0}
{"group":-3,"prompt_token_ids":[4],"token_ids":[5],"reward":2e3}
`
	got, err := readGroups(file(t, "rollouts.jsonl", text), 7)
	if err != nil {
		t.Fatal(err)
	}
	want := []updater.Group{
		{Ordinal: 0, Rollouts: []updater.Rollout{
			{PromptTokenIDs: []int32{1}, TokenIDs: []int32{2, 3}, Logprobs: []float32{-0.5, -1e-3}, Reward: 1},
			{PromptTokenIDs: []int32{1}, TokenIDs: []int32{6}},
		}},
		{Ordinal: 1, Rollouts: []updater.Rollout{
			{PromptTokenIDs: []int32{4}, TokenIDs: []int32{5}, Reward: -0.25},
			{PromptTokenIDs: []int32{4}, TokenIDs: []int32{5}, Reward: 2000},
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// line is a rollout of a group with one field replaced, or left out by "-".
func line(group int, change ...string) string {
	fields := map[string]string{"group": fmt.Sprint(group), "prompt_token_ids": "[1,2]", "token_ids": "[3,4]", "logprobs": "[-1,-2]", "reward": "1"}
	for i := 0; i < len(change); i += 2 {
		fields[change[i]] = change[i+1]
	}
	var parts []string
	for _, name := range []string{"group", "sample", "prompt_token_ids", "token_ids", "logprobs", "reward"} {
		if v, ok := fields[name]; ok && v != "-" {
			parts = append(parts, fmt.Sprintf("%q: %s", name, v))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}\n"
}

// Whatever is wrong with a rollout is one line with the file, the line and the field.
func TestReadGroupsRefuses(t *testing.T) {
	good := line(0)
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"NaN as Python writes it":        {good + line(0, "reward", "NaN"), 2, "reward is NaN: it must be a finite number"},
		"Infinity":                       {line(0, "reward", "Infinity"), 1, "reward is Infinity: it must be a finite number"},
		"minus Infinity":                 {line(0, "reward", "-Infinity"), 1, "reward is -Infinity: it must be a finite number"},
		"a log-prob that is NaN":         {line(0, "logprobs", "[-1, NaN]"), 1, "logprobs has NaN among its numbers: all must be finite"},
		"the first log-prob":             {good + line(0, "logprobs", "[NaN, -1]"), 2, "logprobs has NaN among its numbers"},
		"a log-prob of minus Infinity":   {line(0, "logprobs", "[-1e-3, -Infinity]"), 1, "logprobs has -Infinity among its numbers"},
		"a token that is NaN":            {line(0, "token_ids", "[3,NaN]"), 1, "token_ids has NaN among its numbers"},
		"NaN in a list of lists":         {line(0, "logprobs", "[[1],NaN]"), 1, "NaN at byte"},
		"two prompts in a group":         {line(5) + line(6) + line(5, "prompt_token_ids", "[1,3]"), 3, "prompt_token_ids are not those of group 5, which begins on line 1"},
		"a prompt that is a beginning":   {line(5) + line(5, "prompt_token_ids", "[1]"), 2, "prompt_token_ids are not those of group 5, which begins on line 1"},
		"a reward above all float64":     {line(0, "reward", "1e999"), 1, "reward must be a finite number, is 1e999"},
		"a reward that is text":          {good + "\n\n" + line(0, "reward", `"high"`), 4, `reward must be a finite number, is "high"`},
		"a reward that is a number text": {line(0, "reward", `"1"`), 1, `reward must be a finite number, is "1"`},
		"a reward that is a list":        {line(0, "reward", "[1]"), 1, "reward must be a finite number, is [1]"},
		"a reward that is true":          {line(0, "reward", "true"), 1, "reward must be a finite number, is true"},
		"a long reward":                  {line(0, "reward", `"`+strings.Repeat("é", 500)+`"`), 1, "…"},
		"a reward that is null":          {line(0, "reward", "null"), 1, "has no reward"},
		"no reward":                      {line(0, "reward", "-"), 1, "has no reward"},
		"no group":                       {line(0, "group", "-"), 1, "has no group"},
		"a group that is a fraction":     {line(0, "group", "1.5"), 1, "group must be an integer, is 1.5"},
		"a sample that is text":          {line(0, "sample", `"a"`), 1, `sample must be an integer, is "a"`},
		"an empty response":              {good + line(0, "token_ids", "[]", "logprobs", "[]"), 2, "prompt_token_ids and token_ids must not be empty"},
		"no response":                    {line(0, "token_ids", "-"), 1, "prompt_token_ids and token_ids must not be empty"},
		"an empty prompt":                {line(0, "prompt_token_ids", "[]"), 1, "prompt_token_ids and token_ids must not be empty"},
		"token ids that are text":        {line(0, "token_ids", `["a","b"]`), 1, "token_ids must be a list of int32, has a string"},
		"a fraction of a token":          {line(0, "token_ids", "[3,4.5]"), 1, "token_ids must be a list of int32, has a number 4.5"},
		"a token above all int32":        {line(0, "token_ids", "[3,3000000000]"), 1, "token_ids must be a list of int32, has a number 3000000000"},
		"a token that is null":           {line(0, "token_ids", "[3,null]"), 1, "token_ids has null among its numbers"},
		"a log-prob that is null":        {line(0, "logprobs", "[-1,null]"), 1, "logprobs has null among its numbers"},
		"a token outside":                {line(0, "token_ids", "[3,96]"), 1, "token_ids[1] is 96, outside the model's vocabulary of 96"},
		"a negative token":               {line(0, "prompt_token_ids", "[-1]"), 1, "prompt_token_ids[0] is -1"},
		"too few log-probs":              {line(0, "logprobs", "[-1]"), 1, "logprobs has 1 entries for 2 token_ids"},
		"a sample twice":                 {line(4, "sample", "0") + line(4, "sample", "1") + line(4, "sample", "0"), 3, "sample 0 of group 4 is on line 1 already"},
		"a group cut short":              {line(5) + line(5) + line(6) + line(6) + line(8), 5, "group 8 begins here and has 1 rollouts where other groups have 2"},
		"the first group cut short":      {line(5) + line(6) + line(6) + line(8) + line(8), 1, "group 5 begins here and has 1 rollouts where other groups have 2"},
		"a group twice as large":         {line(5) + line(6) + line(6) + line(5) + line(6) + line(6), 2, "group 6 begins here and has 4 rollouts where other groups have 2"},
		"no object":                      {"[1]\n", 1, "must be a JSON object, is array"},
		"no JSON":                        {good + "<html>\n", 2, "not JSON: "},
		"half a line":                    {good + good[:20], 2, "not JSON: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "rollouts.jsonl", c.text)
			groups, err := readGroups(path, 96)
			if err == nil || groups != nil {
				t.Fatalf("no error, and %d groups", len(groups))
			}
			where, what, _ := strings.Cut(err.Error(), ": ")
			if where != fmt.Sprintf("%s:%d", path, c.line) || !strings.Contains(what, c.want) || strings.Contains(what, "\n") || len(what) > 300 {
				t.Errorf("error %q, want one line of %s:%d that says %q", err, path, c.line, c.want)
			}
		})
	}
}

// FuzzReadGroups: what is let through can be trained on.
func FuzzReadGroups(f *testing.F) {
	f.Add([]byte(line(0) + line(0, "logprobs", "null") + line(1, "sample", "3") + line(1, "sample", "4")))
	f.Add([]byte(line(0, "reward", "NaN")))
	f.Add([]byte(line(0, "reward", "1e999") + line(0, "token_ids", "[null]")))
	f.Add([]byte("\xef\xbb\xbf{}\n[]\nnull\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "rollouts.jsonl")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		groups, err := readGroups(path, 96)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q", err)
			}
			return
		}
		for i, g := range groups {
			if g.Ordinal != int64(i) || len(g.Rollouts) == 0 || len(g.Rollouts) != len(groups[0].Rollouts) {
				t.Errorf("group %d has ordinal %d and %d rollouts", i, g.Ordinal, len(g.Rollouts))
			}
			for _, r := range g.Rollouts {
				if !slices.Equal(r.PromptTokenIDs, g.Rollouts[0].PromptTokenIDs) {
					t.Errorf("group %d has several prompts", i)
				}
				outside := func(id int32) bool { return id < 0 || id >= 96 }
				if len(r.PromptTokenIDs) == 0 || len(r.TokenIDs) == 0 || slices.ContainsFunc(r.PromptTokenIDs, outside) || slices.ContainsFunc(r.TokenIDs, outside) ||
					math.IsNaN(r.Reward) || math.IsInf(r.Reward, 0) || r.Logprobs != nil && len(r.Logprobs) != len(r.TokenIDs) {
					t.Errorf("let through: %+v", r)
				}
			}
		}
	})
}

// Faults of a line that is not a rollout name the field too.
func TestExplainKeepsOtherErrors(t *testing.T) {
	var v struct {
		N int `json:"n"`
	}
	for text, want := range map[string]string{
		`{"n":"x"}`: "n must be int, is string",
		`{"n":1`:    "not JSON: unexpected end of JSON input",
		`3`:         "must be a JSON object, is number",
	} {
		if got := explain([]byte(text), json.Unmarshal([]byte(text), &v)).Error(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// A step's parquet file is read as its lines are, and refused for the same faults.
func TestReadGroupsOfParquet(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	d, err := journal.Create(run, journal.Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // of a test
	of := func(change func([]journal.Rollout)) string {
		var all []journal.Rollout
		for i := range 4 {
			all = append(all, journal.Rollout{
				Group: int64(7 - i/2), Sample: i % 2, PromptTokenIDs: []int32{1, int32(i / 2)}, TokenIDs: []int32{2, 3}, Logprobs: []float32{-0.5, -1.0 / 3},
				FinishReason: "stop", Reward: float64(i) - 1.25,
			})
		}
		all[2].Logprobs = nil
		change(all)
		if err := d.WriteRollouts(3, all); err != nil {
			t.Fatal(err)
		}
		return journal.RolloutsPath(run, 3)
	}
	lines := filepath.Join(t.TempDir(), "rollouts.jsonl")
	parquet := of(func([]journal.Rollout) {})
	if err := exportRollouts(t.TempDir(), 3, lines); err == nil || !strings.Contains(err.Error(), "config.yaml") {
		t.Errorf("of a folder without a run: %v", err)
	}
	if err := exportRollouts(run, 4, lines); err == nil || !strings.Contains(err.Error(), "step-000004.parquet is not there") {
		t.Errorf("a step that is not kept: %v", err)
	}
	if err := exportRollouts(run, 3, lines); err != nil {
		t.Fatal(err)
	}
	want, err := readGroups(lines, 7)
	if err != nil || len(want) != 2 {
		t.Fatalf("%v, %v", want, err)
	}
	got, err := readGroups(parquet, 7)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-lines +parquet):\n%s", d)
	}
	for _, tc := range []struct {
		name   string
		change func([]journal.Rollout)
		want   string
	}{
		{"another vocabulary", func(all []journal.Rollout) { all[1].TokenIDs[1] = 7 }, ":2: token_ids[1] is 7, outside the model's vocabulary of 7"},
		{"another prompt", func(all []journal.Rollout) { all[3].PromptTokenIDs = []int32{5} }, ":4: prompt_token_ids are not those of group 6, which begins on line 3"},
		{"the same sample", func(all []journal.Rollout) { all[1].Sample = 0 }, ":2: sample 0 of group 7 is on line 1 already"},
		{"log-probs of another length", func(all []journal.Rollout) { all[0].Logprobs = all[0].Logprobs[:1] }, ":1: logprobs has 1 entries for 2 token_ids"},
		{"a group of another size", func(all []journal.Rollout) { all[3].Group = 5 }, ":1: group 7 begins here and has 2 rollouts where other groups have 1"},
	} {
		path := of(tc.change)
		if _, err := readGroups(path, 7); err == nil || !strings.Contains(err.Error(), path+tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
	if err := d.WriteRollouts(3, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := readGroups(parquet, 7); err == nil || !strings.Contains(err.Error(), "has no rows") {
		t.Errorf("a file without rows: %v", err)
	}
}
