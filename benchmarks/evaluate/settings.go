package evaluate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/atomicdir"
)

// RecordName is the file in an evaluation's folder that says what it is.
const RecordName = "eval.json"

// Settings decide over the answers: a folder has answers of one kind only.
type Settings struct {
	Model     string                 `json:"model"` // served name
	Sampling  Sampling               `json:"sampling"`
	Templates map[string]string      `json:"templates"` // text by title; "" is the paper's
	Sets      map[string]SetSettings `json:"sets"`

	problems map[string][]benchmarks.Problem // of the sets; none of settings that were read
}

// SetSettings is what is asked of a set.
type SetSettings struct {
	N        int    `json:"n"`
	Problems int    `json:"problems"`
	SHA256   string `json:"sha256"` // of the problems' ids, questions, answers and messages of their own
}

// Record is what an evaluation's folder says of itself: how the answers were
// sampled, and what did it last.
type Record struct {
	Settings
	Began    time.Time      `json:"began"`
	Version  string         `json:"justrl_version"`
	Servers  []ServerInfo   `json:"servers"`
	Found    Findings       `json:"found"`
	Grading  map[string]any `json:"grading"` // versions of whatever decides over an answer
	Finished *time.Time     `json:"finished,omitempty"`
	// Measured is how large the sets were when there were results of them last:
	// what has grown since may go back to that.
	Measured map[string]SetSettings `json:"measured,omitempty"`
}

// NewSettings are those of cells.
func NewSettings(model string, sampling Sampling, cells []*Cell) (Settings, error) {
	s := Settings{Model: model, Sampling: sampling, Templates: map[string]string{}, Sets: map[string]SetSettings{}, problems: map[string][]benchmarks.Problem{}}
	var templates []Template
	for _, c := range cells {
		s.Sets[c.Set] = SetSettings{N: c.N, Problems: len(c.Problems), SHA256: SumOf(c.Problems)}
		s.problems[c.Set] = c.Problems
		if _, known := s.Templates[c.Template.Title()]; !known {
			templates = append(templates, c.Template)
		}
		s.Templates[c.Template.Title()] = c.Template.Text
	}
	return s, distinct(templates)
}

// SumOf is a hash of what of problems decides over their answers.
func SumOf(problems []benchmarks.Problem) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, p := range problems {
		all := []any{p.ID, p.Question, p.Answer}
		if p.Message != "" {
			all = append(all, p.Message)
		}
		_ = enc.Encode(all) // neither these nor a hash can fail
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Merge is s with the sets and templates of old that s does not have. What
// both have must be the same, but that a set may have grown: by problems after
// those that it had, and by repeats, whose seeds do not depend on how many there
// are. One that grew beyond what was measured may be smaller again, down to that.
// The error names every difference.
func (s Settings) Merge(old Settings, measured map[string]SetSettings) (Settings, error) {
	var faults []error
	differ := func(what string, is, was any) {
		if is != was {
			faults = append(faults, fmt.Errorf("%s is %v, was %v", what, is, was))
		}
	}
	differ("model", s.Model, old.Model)
	differ("temperature", s.Sampling.Temperature, old.Sampling.Temperature)
	differ("top_p", s.Sampling.TopP, old.Sampling.TopP)
	differ("max_tokens", s.Sampling.MaxTokens, old.Sampling.MaxTokens)
	differ("seed", s.Sampling.Seed, old.Sampling.Seed)
	merged := s
	merged.Sets, merged.Templates = maps.Clone(old.Sets), maps.Clone(old.Templates)
	for _, name := range slices.Sorted(maps.Keys(s.Sets)) {
		if was, both := old.Sets[name]; both {
			is := s.Sets[name]
			if least, ok := measured[name]; ok {
				was.N = min(was.N, least.N)
				if is.Problems < was.Problems && least.Problems <= was.Problems {
					was.Problems, was.SHA256 = least.Problems, least.SHA256
				}
			}
			if is.N < was.N {
				differ("n of "+name, is.N, was.N)
			}
			if is.Problems < was.Problems {
				differ("number of problems of "+name, is.Problems, was.Problems)
			} else if s.sumOfFirst(name, was.Problems) != was.SHA256 {
				faults = append(faults, fmt.Errorf("%s has other problems than it had", name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Templates)) {
		if was, both := old.Templates[name]; both && was != s.Templates[name] {
			faults = append(faults, fmt.Errorf("prompt template %s has another text than it had", name))
		}
	}
	if merged.Sets == nil {
		merged.Sets = map[string]SetSettings{}
	}
	if merged.Templates == nil {
		merged.Templates = map[string]string{}
	}
	maps.Copy(merged.Sets, s.Sets)
	maps.Copy(merged.Templates, s.Templates)
	return merged, joined(faults)
}

// sumOfFirst is the hash of a set's first n problems.
func (s Settings) sumOfFirst(set string, n int) string {
	if n == s.Sets[set].Problems {
		return s.Sets[set].SHA256
	}
	return SumOf(s.problems[set][:n])
}

func joined(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	words := make([]string, len(faults))
	for i, f := range faults {
		words[i] = f.Error()
	}
	return errors.New(strings.Join(words, ", "))
}

// ReadRecord reads a folder's record; fs.ErrNotExist if it has none.
func ReadRecord(dir string) (Record, error) {
	var r Record
	path := filepath.Join(dir, RecordName)
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Joined is r as the record of a folder. If the folder has one already, it is an
// evaluation to go on with, or to grow as [Settings.Merge] says: one of other
// settings is refused. Nothing is written.
func (r Record) Joined(dir string) (Record, error) {
	old, err := ReadRecord(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return r, err
	default:
		r.Began, r.Measured = old.Began, old.Measured
		if r.Measured == nil && old.Finished != nil { // of a version that did not say
			r.Measured = old.Sets
		}
		if r.Settings, err = r.Merge(old.Settings, r.Measured); err != nil {
			return r, fmt.Errorf("%s has answers of another evaluation: %w; give another --out, or the settings that it has", dir, err)
		}
	}
	return r, nil
}

// Join writes r, as Joined has it, into the folder, which is made if need be.
func (r Record) Join(dir string) (Record, error) {
	r, err := r.Joined(dir)
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return r, err
	}
	return r, r.Write(dir)
}

// Write replaces the record of a folder.
func (r Record) Write(dir string) error {
	return atomicdir.ReplaceFile(filepath.Join(dir, RecordName), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	})
}
