package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/atomicdir"
)

// The files of a sweep's folder.
const (
	StateName = "sweep.json"
	lockName  = "sweep.lock"
)

// State is what a sweep's folder remembers.
type State struct {
	Began   time.Time `json:"began"`
	Version string    `json:"justrl_version"` // of the program that wrote it last
	// Evaluations have what decides over their answers and verdicts, by name.
	Evaluations map[string]Identity `json:"evaluations"`
	// Speeds are what was measured, by [speedKey]; Lengths, of answers, by [lengthKey].
	Speeds  map[string]Speed  `json:"speeds,omitempty"`
	Lengths map[string]Length `json:"lengths,omitempty"`
	// Loaded are the servers, by URL, that hold other weights than their own
	// because of this sweep.
	Loaded map[string]Loaded `json:"loaded,omitempty"`
}

// Identity is a setting's value by its name.
type Identity map[string]string

// Speed is what a server gave of a model.
type Speed struct {
	Tokens  int64   `json:"tokens"`
	Seconds float64 `json:"seconds"` // in which at least one request was under way
}

// Length is how long answers are.
type Length struct {
	Answers int64 `json:"answers"`
	Tokens  int64 `json:"tokens"`
}

// Loaded is what a server was told to load, and where its own weights are.
type Loaded struct {
	Folder string `json:"folder"`
	Root   string `json:"root"`
}

func speedKey(s *Server, m *Model) string   { return s.URL + " " + m.Name }
func lengthKey(m *Model, set string) string { return m.Name + " " + set }

// ReadState reads a folder's; an empty one if there is none.
func ReadState(dir string) (*State, error) {
	s := &State{}
	path := filepath.Join(dir, StateName)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if s.Evaluations == nil {
		s.Evaluations = map[string]Identity{}
	}
	if s.Speeds == nil {
		s.Speeds = map[string]Speed{}
	}
	if s.Lengths == nil {
		s.Lengths = map[string]Length{}
	}
	if s.Loaded == nil {
		s.Loaded = map[string]Loaded{}
	}
	return s, nil
}

// Write replaces a folder's.
func (s *State) Write(dir string) error {
	return atomicdir.ReplaceFile(filepath.Join(dir, StateName), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	})
}

// ErrChanged is a spec that says something else of cells that there are.
var ErrChanged = errors.New("the spec has changed")

// Join enters what the evaluations of a plan are; sums has a hash of the
// problems of each set that was read, by name. What is new is added. A value
// that is another than before is an error that wraps [ErrChanged] and names
// all of them; the state stays as it was then.
func (s *State) Join(p *Plan, sums map[string]string) error {
	var changes []error
	next := map[string]Identity{}
	said := map[string]bool{} // a change is told once, not for every evaluation
	for _, e := range p.Evaluations {
		is := e.identity(p, sums)
		was := s.Evaluations[e.Name]
		for _, key := range slices.Sorted(maps.Keys(is)) {
			if old, both := was[key]; both && old != is[key] {
				if change := fmt.Sprintf("%s is %s, was %s", key, is[key], old); !said[change] {
					said[change] = true
					changes = append(changes, fmt.Errorf("%s (in %s)", change, e.Name))
				}
			}
		}
		all := maps.Clone(was)
		if all == nil {
			all = Identity{}
		}
		maps.Copy(all, is)
		next[e.Name] = all
	}
	if len(changes) > 0 {
		return fmt.Errorf("%s: %w: %w; a spec may have new cells, but not change those there are: give another --out, or put it back", p.Dir, ErrChanged, oneLine(changes))
	}
	maps.Copy(s.Evaluations, next)
	return nil
}

// identity is what decides over an evaluation's answers and verdicts, but for
// what its name has.
func (e *Evaluation) identity(p *Plan, sums map[string]string) Identity {
	id := Identity{"verifier": or(p.Spec.Verifier, "the default")}
	if len(p.Spec.Set) > 0 {
		id["verifier"] += fmt.Sprintf(" with %q", p.Spec.Set)
	}
	if e.Model.Folder != "" {
		id["weights of model "+e.Model.Name] = e.Model.Weights
	} else {
		id["model "+e.Model.Name] = e.Model.Served
	}
	if j := e.Judge; j != nil {
		id["judge "+j.Name] = fmt.Sprintf("model %s, template %s, empty_question %t, tail %d", or(j.Model, "the only one"), or(j.Template, "the paper's"), j.EmptyQuestion, j.Tail)
	}
	for _, c := range e.Cells {
		id["size of set "+c.Set.Name] = fmt.Sprintf("%d problems, %d answers each", c.Problems, c.N)
		if sum, ok := sums[c.Set.Name]; ok {
			id["sha256 of set "+c.Set.Name] = sum
		}
		id["text of template "+c.Template.Title()] = fmt.Sprintf("%q", c.Template.Text)
	}
	return id
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Lock keeps other processes from working on a sweep's folder, which is made,
// until the returned function is called.
func Lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Join(dir, cellsDir), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: another process works on this sweep: %w", dir, err), f.Close())
	}
	return f.Close, nil
}
