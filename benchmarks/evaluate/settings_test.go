package evaluate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func settings(t *testing.T, change func(*Sampling, *[]*Cell, *string)) Settings {
	t.Helper()
	model, sampling := "tiny", Sampling{Temperature: 0.7, TopP: 0.9, MaxTokens: 100, Seed: 3}
	cells := []*Cell{{Set: "Sums", Problems: problems(3), N: 2}, {Set: "More", Problems: problems(4), N: 1}}
	if change != nil {
		change(&sampling, &cells, &model)
	}
	s, err := NewSettings(model, sampling, cells)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettings(t *testing.T) {
	short, err := ReadTemplate(write(t, "short.txt", "{{question}}."))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ReadTemplate(write(t, "short.txt", "{{question}}!"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(tpl Template) func(*Sampling, *[]*Cell, *string) {
		return func(_ *Sampling, c *[]*Cell, _ *string) {
			*c = append(*c, &Cell{Set: "Sums", Template: tpl, Problems: problems(3), N: 2})
		}
	}
	for _, c := range []struct {
		name   string
		before func(*Sampling, *[]*Cell, *string)
		now    func(*Sampling, *[]*Cell, *string)
		want   []string // of the refusal; nil if it goes on
	}{
		{"the same", nil, nil, nil},
		{"another model", nil, func(_ *Sampling, _ *[]*Cell, m *string) { *m = "big" }, []string{"model is big, was tiny"}},
		{"all of the sampling", nil, func(s *Sampling, _ *[]*Cell, _ *string) { *s = Sampling{0.6, 0.95, 200, 4} },
			[]string{"temperature is 0.6, was 0.7", "top_p is 0.95, was 0.9", "max_tokens is 200, was 100", "seed is 4, was 3"}},
		{"more repeats", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].N = 4 }, nil},
		{"fewer repeats", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].N = 1 }, []string{"n of Sums is 1, was 2"}},
		{"more problems", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems = problems(5) }, nil},
		{"more of both", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems, (*c)[0].N = problems(5), 3 }, nil},
		{"fewer problems", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems, (*c)[0].N = problems(2), 5 }, []string{"number of problems of Sums is 2, was 3"}},
		{"more problems, and one of those there were is another", nil, func(_ *Sampling, c *[]*Cell, _ *string) {
			(*c)[0].Problems = problems(5)
			(*c)[0].Problems[1].Answer = "7"
		}, []string{"Sums has other problems"}},
		{"more repeats of other problems", nil, func(_ *Sampling, c *[]*Cell, _ *string) {
			(*c)[0].N = 4
			(*c)[0].Problems[1].Question = "7"
		}, []string{"Sums has other problems"}},
		{"other problems", nil, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems[1].Answer = "7" }, []string{"Sums has other problems"}},
		{"a set more", nil, func(_ *Sampling, c *[]*Cell, _ *string) {
			*c = append(*c, &Cell{Set: "New", Problems: problems(1), N: 1})
		}, nil},
		{"a set less", nil, func(_ *Sampling, c *[]*Cell, _ *string) { *c = (*c)[:1] }, nil},
		{"a template more", nil, with(short), nil},
		{"a template less", with(short), nil, nil},
		{"a template of the same name", with(short), with(other), []string{"prompt template short has another text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			first := Record{Settings: settings(t, c.before), Began: began, Version: "1"}
			if _, err := first.Join(dir); err != nil {
				t.Fatal(err)
			}
			second := Record{Settings: settings(t, c.now), Began: began.Add(time.Hour), Version: "2"}
			joined, err := second.Join(dir)
			on, rerr := ReadRecord(dir)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if c.want == nil {
				if err != nil || on.Version != "2" || !on.Began.Equal(began) || len(joined.Sets) < 2 || len(on.Sets) != len(joined.Sets) {
					t.Errorf("%v; record %+v", err, on)
				}
				return
			}
			for _, w := range append(c.want, dir, "give another --out") {
				if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, w)
				}
			}
			if on.Version != "1" {
				t.Error("the record was replaced all the same")
			}
		})
	}
}

// What grew beyond what was measured goes back to that, and no further.
func TestSizeGoesBack(t *testing.T) {
	dir := t.TempDir()
	size := func(problem, n int) Record {
		return Record{Settings: settings(t, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems, (*c)[0].N = problems(problem), n })}
	}
	first := size(3, 2)
	first.Measured = first.Sets
	if err := first.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		problems, n int
		want        string
	}{{5, 100, ""}, {4, 7, ""}, {3, 2, ""}, {5, 100, ""}, {5, 1, "n of Sums is 1, was 2"}, {2, 100, "number of problems of Sums is 2, was 3"}, {3, 2, ""}} {
		_, err := size(c.problems, c.n).Join(dir)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d problems, %d each: error %v, want %q", c.problems, c.n, err, c.want)
		}
	}
	on, err := ReadRecord(dir)
	if err != nil || on.Sets["Sums"].N != 2 || on.Measured["Sums"].N != 2 {
		t.Errorf("%+v, %v", on, err)
	}
	other := size(4, 7)
	if _, err := other.Join(dir); err != nil {
		t.Fatal(err)
	}
	edited := Record{Settings: settings(t, func(_ *Sampling, c *[]*Cell, _ *string) { (*c)[0].Problems[1].Answer = "7" })}
	if _, err := edited.Join(dir); err == nil || !strings.Contains(err.Error(), "Sums has other problems") {
		t.Errorf("error %v", err)
	}
}

func TestTwoTemplatesOfOneName(t *testing.T) {
	a, err := ReadTemplate(write(t, "Short.txt", "{{question}}."))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadTemplate(write(t, "short.md", "{{question}}!"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewSettings("m", Sampling{}, []*Cell{{Set: "S", Template: a}, {Set: "S", Template: b}})
	if err == nil || !strings.Contains(err.Error(), "rename a file") {
		t.Errorf("error %v", err)
	}
}

func TestReadRecord(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadRecord(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	path := filepath.Join(dir, RecordName)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Record{}).Join(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
