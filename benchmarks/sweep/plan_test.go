package sweep

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/benchmarks/evaluate"
)

// spec reads a spec in a folder.
func spec(t *testing.T, dir, text string) *Spec {
	t.Helper()
	s, err := read("s.yaml", dir, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plan(t *testing.T, s *Spec, dir string) *Plan {
	t.Helper()
	p, err := NewPlan(s, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answers writes so many lines, and a record that says that all are graded.
func answers(t *testing.T, e *Evaluation, n int, finished bool) {
	t.Helper()
	r := evaluate.Record{Settings: evaluate.Settings{Model: "m", Templates: map[string]string{}, Sets: map[string]evaluate.SetSettings{}}}
	for _, c := range e.Cells {
		if err := os.MkdirAll(filepath.Dir(c.File), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.File, []byte(strings.Repeat("{}\n", min(n, c.Size()))+"torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.Templates[c.Template.Title()] = c.Template.Text
		r.Sets[c.Set.Name] = evaluate.SetSettings{N: c.N, Problems: c.Problems}
	}
	if finished {
		now := time.Now()
		r.Finished = &now
	}
	if err := r.Write(e.Dir); err != nil {
		t.Fatal(err)
	}
}

const two = `
models: [big, {model: small, servers: [b]}, {model: runs/x/checkpoints/step-000100, servers: b}]
servers: [{name: a, url: 'http://a:1', tokens_per_second: 100}, {name: b, url: 'http://b:1'}]
sets: [AIME24, sums.jsonl]
sampling: [{seed: [0, 1]}, {temperature: 0, n: 1, max_tokens: 1000}]
templates: [paper, short.txt]
judges: [none, {name: other/one, url: 'http://j:1'}]
limit: 20
`

// The whole of a plan: which evaluations and cells, in which order, at what cost.
func TestPlan(t *testing.T) {
	dir := folder(t, map[string]string{"sums.jsonl": sums, "short.txt": "{{question}} Box it."})
	checkpoint(t, filepath.Join(dir, "runs/x/checkpoints/step-000100"), "a")
	out := filepath.Join(dir, "out")
	st, err := ReadState(out)
	if err != nil {
		t.Fatal(err)
	}
	show := func(name string) {
		t.Helper()
		p := plan(t, spec(t, dir, two), out)
		var b bytes.Buffer
		if err := p.Text(&b, p.Costs(st)); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
	}
	show("plan-new.txt")
	p := plan(t, spec(t, dir, two), out)
	answers(t, p.Evaluations[0], 1<<30, true) // all of the first
	answers(t, p.Evaluations[2], 5, false)    // some of the third
	answers(t, p.Evaluations[4], 1<<30, false)
	if p = plan(t, spec(t, dir, two), out); !p.Evaluations[0].Done || p.Evaluations[1].Done || p.Evaluations[2].Done || p.Evaluations[4].Done {
		t.Errorf("done: %t %t %t %t", p.Evaluations[0].Done, p.Evaluations[1].Done, p.Evaluations[2].Done, p.Evaluations[4].Done)
	}
	if len(p.Left()) != len(p.Evaluations)-1 {
		t.Errorf("%d of %d left", len(p.Left()), len(p.Evaluations))
	}
	b := p.Spec.Servers[1]
	for _, m := range p.Spec.Models {
		for _, s := range p.Spec.Sets {
			st.Lengths[lengthKey(m, s.Name)] = Length{Answers: 10, Tokens: 5000}
		}
		st.Speeds[speedKey(b, m)] = Speed{Tokens: 1000, Seconds: 2}
	}
	show("plan-measured.txt")
}

func TestPlanOfOne(t *testing.T) {
	dir := folder(t, map[string]string{"sums.jsonl": sums})
	p := plan(t, spec(t, dir, "models: m\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: 2, max_tokens: 10}"), filepath.Join(dir, "out"))
	c := p.Costs(&State{})
	if p.Cells() != 1 || c.Answers != 6 || c.Requests != 6 || c.There != 0 || c.MaxTokens != 60 || c.Judged != 0 || c.Seconds != nil || c.Tokens != nil {
		t.Errorf("%+v", c)
	}
	if want := filepath.Join(dir, "out", "cells", "m-t0.7-p0.9-n2-m10-s0", "sums_t0.7_p0.9_n2-MNT10.jsonl"); p.Evaluations[0].Cells[0].File != want {
		t.Errorf("file %s, want %s", p.Evaluations[0].Cells[0].File, want)
	}
	answers(t, p.Evaluations[0], 4, false)
	if c = plan(t, p.Spec, p.Dir).Costs(&State{}); c.There != 4 || c.Requests != 2 || c.MaxTokens != 20 {
		t.Errorf("%+v", c)
	}
}

// A spec may grow. What is there may not become something else.
func TestJoin(t *testing.T) {
	files := map[string]string{"sums.jsonl": sums, "short.txt": "{{question}} Box it.", "more.jsonl": sums}
	const one = "models: a\nservers: http://a:1\nsets: sums.jsonl\nlimit: 1\nsampling: {n: 2}\n"
	const base = "models: [a, {model: runs/x/checkpoints/step-000100, servers: 'http://a:1'}]\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: 2}\n"
	for _, c := range []struct {
		name, text string
		base       string // "" is base
		files      map[string]string
		weights    string
		sum        string
		first      map[int]string // of the first problems, where they are others' sums
		want       []string       // of the refusal
	}{
		{name: "the same", text: base},
		{name: "everything more", text: "models: [a, b, {model: runs/x/checkpoints/step-000100, servers: 'http://a:1'}]\nservers: [http://a:1, http://b:1]\nsets: [sums.jsonl, more.jsonl]\nsampling: {n: [2, 3], seed: [0, 1]}\ntemplates: [paper, short.txt]\njudges: [none, http://j:1]\n"},
		{name: "a model less", text: "models: a\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: 2}\n"},
		{name: "another server", text: "models: [a, {model: runs/x/checkpoints/step-000100, servers: 'http://c:1'}]\nservers: {url: http://c:1, concurrency: 3}\nsets: sums.jsonl\nsampling: {n: 2}\n"},
		{name: "a limit", text: base + "limit: 1\n", want: []string{"size of set sums is 1 problems, 2 answers each, was 3 problems, 2 answers each"}},
		{name: "no limit any more", base: one, text: strings.Replace(one, "limit: 1\n", "", 1), sum: "3", first: map[int]string{1: "1"}},
		{name: "no limit any more, and the first is another", base: one, text: strings.Replace(one, "limit: 1\n", "", 1), sum: "3", first: map[int]string{1: "2"}, want: []string{"sha256 of set sums is 2, was 1"}},
		{name: "more answers are another evaluation", base: one, text: strings.Replace(one, "n: 2", "n: 3", 1)},
		{name: "of another model of the name they are not", base: one, text: strings.Replace(strings.Replace(one, "n: 2", "n: 3", 1), "models: a", "models: {model: c, name: a}", 1), want: []string{"model a is c, was a (in a-t0.7-p0.9-n2-m31744-s0)"}},
		{name: "more answers to other problems", base: one, text: strings.Replace(one, "n: 2", "n: 3", 1), sum: "2", want: []string{"sha256 of set sums is 2, was 1 (in a-t0.7-p0.9-n2-m31744-s0)"}},
		{name: "another verifier", text: base + "verifier: exact\n", want: []string{"verifier is exact, was the default"}},
		{name: "a verifier's key", text: base + "set: reward.max_tokens=3\n", want: []string{`verifier is the default with ["reward.max_tokens=3"], was the default`}},
		{name: "another model of the name", text: strings.Replace(base, "[a,", "[{model: c, name: a},", 1), want: []string{"model a is c, was a"}},
		{name: "other weights", text: base, weights: "b", want: []string{"weights of model x-step-000100 is "}},
		{name: "other problems", text: base, sum: "2", want: []string{"sha256 of set sums is 2, was 1"}},
		{name: "several", text: strings.Replace(base, "[a,", "[{model: c, name: a},", 1) + "limit: 1\nverifier: exact\n", want: []string{"model a is c", "verifier is exact", "size of set sums"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, files)
			at := filepath.Join(dir, "runs/x/checkpoints/step-000100")
			checkpoint(t, at, "a")
			out := filepath.Join(dir, "out")
			unlock, err := Lock(out)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Lock(out); err == nil {
				t.Error("locked twice")
			}
			first, err := ReadState(out)
			if err != nil {
				t.Fatal(err)
			}
			if c.base == "" {
				c.base = base
			}
			if err := first.Join(plan(t, spec(t, dir, c.base), out), sumsAre("1", nil)); err != nil {
				t.Fatal(err)
			}
			if err := first.Write(out); err != nil {
				t.Fatal(err)
			}
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			if c.weights != "" {
				if err := os.RemoveAll(at); err != nil {
					t.Fatal(err)
				}
				checkpoint(t, at, c.weights)
			}
			second, err := ReadState(out)
			if err != nil {
				t.Fatal(err)
			}
			sum := c.sum
			if sum == "" {
				sum = "1"
			}
			err = second.Join(plan(t, spec(t, dir, c.text), out), sumsAre(sum, c.first))
			if c.want == nil {
				if err != nil || len(second.Evaluations) < len(first.Evaluations) {
					t.Errorf("error %v, %d evaluations", err, len(second.Evaluations))
				}
				return
			}
			for _, w := range append(c.want, out, "give another --out") {
				if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want it with %q, on one line", err, w)
				}
			}
			if len(second.Evaluations) != len(first.Evaluations) {
				t.Error("the state has changed all the same")
			}
		})
	}
}

// sumsAre has one sum for all, but for the first problems that have another.
func sumsAre(sum string, first map[int]string) Sums {
	return func(_ string, problems int) (string, bool) {
		if other, ok := first[problems]; ok {
			return other, true
		}
		return sum, true
	}
}

// An evaluation with more answers a problem begins with those of one with fewer,
// and one with some of its own keeps them.
func TestMoreAnswersTakeTheFewer(t *testing.T) {
	dir := folder(t, map[string]string{"sums.jsonl": sums})
	out := filepath.Join(dir, "out")
	text := "models: m\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: 2, max_tokens: 10}\nlimit: 2\n"
	small := plan(t, spec(t, dir, text), out).Evaluations[0]
	answers(t, small, 1<<30, true)
	for _, c := range []struct {
		name  string
		text  string
		there int
	}{
		{"more answers", strings.Replace(text, "n: 2", "n: 3", 1), 4},
		{"more of both", strings.Replace(strings.Replace(text, "n: 2", "n: 3", 1), "limit: 2", "limit: 3", 1), 4},
		{"the paper's four", strings.Replace(text, "n: 2", "n: paper", 1), 4},
		{"fewer answers", strings.Replace(text, "n: 2", "n: 1", 1), 0},
		{"fewer problems", strings.Replace(strings.Replace(text, "n: 2", "n: 7", 1), "limit: 2", "limit: 1", 1), 0},
		{"another seed", strings.Replace(text, "n: 2", "n: 3, seed: 1", 1), 0},
		{"another model", strings.Replace(strings.Replace(text, "n: 2", "n: 3", 1), "models: m", "models: m2", 1), 0},
		{"another judge", text + "judges: http://j:1\n", 4},
	} {
		e := plan(t, spec(t, dir, c.text), out).Evaluations[0]
		if got := e.Cells[0].There; got != c.there {
			t.Errorf("%s: %d answers are there, want %d", c.name, got, c.there)
		}
		if err := e.borrow(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if n, err := lines(e.Cells[0].File); n != c.there || err != nil {
			t.Errorf("%s: %d answers were taken (%v)", c.name, n, err)
		}
	}
	three := plan(t, spec(t, dir, strings.Replace(text, "n: 2", "n: 5", 1)), out).Evaluations[0]
	if err := os.MkdirAll(three.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(three.Cells[0].File, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := three.borrow(); err != nil {
		t.Fatal(err)
	}
	if n, err := lines(three.Cells[0].File); n != 1 || err != nil {
		t.Errorf("%d answers in the place of its own (%v)", n, err)
	}
}

// A folder that nobody remembers may have answers to other problems.
func TestAnswersToOtherProblemsAreLeft(t *testing.T) {
	dir := folder(t, map[string]string{"sums.jsonl": sums})
	out := filepath.Join(dir, "out")
	text := "models: m\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: %d, max_tokens: 10}\n"
	small := plan(t, spec(t, dir, strings.Replace(text, "%d", "2", 1)), out).Evaluations[0]
	answers(t, small, 1<<30, true)
	r, err := evaluate.ReadRecord(small.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r.Sets["sums"] = evaluate.SetSettings{N: 2, Problems: 3, SHA256: "1"}
	if err := r.Write(small.Dir); err != nil {
		t.Fatal(err)
	}
	for sum, want := range map[string]int{"1": 6, "2": 0} {
		p, err := NewPlan(spec(t, dir, strings.Replace(text, "%d", "4", 1)), out, sumsAre(sum, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Evaluations[0].Cells[0].There; got != want {
			t.Errorf("sum %s: %d answers are there, want %d", sum, got, want)
		}
	}
}
