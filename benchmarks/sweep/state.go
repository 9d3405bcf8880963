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
	"strings"
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

// With is the state with what others measured of the same servers, models and
// sets, by name, where it has measured nothing itself; the first of them counts.
// It is for estimates, not to be written.
func (s *State) With(others []*State) *State {
	out := *s
	out.Speeds, out.Lengths = map[string]Speed{}, map[string]Length{}
	for _, from := range slices.Backward(append([]*State{s}, others...)) {
		maps.Copy(out.Speeds, from.Speeds)
		maps.Copy(out.Lengths, from.Lengths)
	}
	return &out
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

// Sums gives a hash of the first problems of a set that was read, by its name.
type Sums func(set string, problems int) (sum string, ok bool)

// Join enters what the evaluations of a plan are; sums may be nil, where no set
// was read. What is new is added: evaluations, and problems after those that a
// set had. A value that is another than before is an error that wraps
// [ErrChanged] and names all of them; the state stays as it was then.
func (s *State) Join(p *Plan, sums Sums) error {
	var changes []error
	next := map[string]Identity{}
	said := map[string]bool{} // a change is told once, not for every evaluation
	changed := func(key, is, was, in string) {
		if change := fmt.Sprintf("%s is %s, was %s", key, is, was); !said[change] {
			said[change] = true
			changes = append(changes, fmt.Errorf("%s (in %s)", change, in))
		}
	}
	for _, e := range p.Evaluations {
		is, was := e.identity(p), s.Evaluations[e.Name]
		for _, key := range slices.Sorted(maps.Keys(is)) {
			if old, both := was[key]; both && old != is[key] && !grown(key, is[key], old) {
				changed(key, is[key], old, e.Name)
			}
		}
		for _, c := range e.Cells {
			e.joinSum(c, was, is, sums, changed)
		}
		// Answers are taken from these, whether the spec still has them or not.
		for _, name := range slices.Sorted(maps.Keys(s.Evaluations)) {
			for _, key := range []string{modelKey(e.Model), weightsKey(e.Model)} {
				if old, both := s.Evaluations[name][key]; both && e.like(name) && is[key] != "" && old != is[key] {
					changed(key, is[key], old, name)
				}
			}
			if e.like(name) {
				for _, c := range e.Cells {
					c.holdSum(s.Evaluations[name], name, sums, changed)
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
		return fmt.Errorf("%s: %w: %w; a spec may have new cells and more problems, but not change those there are: give another --out, or put it back", p.Dir, ErrChanged, oneLine(changes))
	}
	maps.Copy(s.Evaluations, next)
	return nil
}

// joinSum holds a set's problems against those that it had, where both are known.
func (e *Evaluation) joinSum(c *Cell, was, is Identity, sums Sums, changed func(key, is, was, in string)) {
	if sums == nil {
		return
	}
	sum, ok := sums(c.Set.Name, c.Problems)
	if !ok {
		return
	}
	is[sumKey(c.Set)] = sum
	c.holdSum(was, e.Name, sums, changed)
}

// holdSum holds a set's problems against those that an evaluation had of it.
func (c *Cell) holdSum(was Identity, in string, sums Sums, changed func(key, is, was, in string)) {
	if sums == nil {
		return
	}
	key := sumKey(c.Set)
	var problems, n int
	old, known := was[key]
	if _, err := fmt.Sscanf(was[sizeKey(c.Set)], sizeFormat, &problems, &n); err != nil || !known || problems > c.Problems {
		return // new, or told of already
	}
	if first, ok := sums(c.Set.Name, problems); ok && first != old {
		changed(key, first, old, in)
	}
}

// The names of what an identity has of a set, and how it says its size.
const sizeFormat = "%d problems, %d answers each"

func sizeKey(s *Set) string      { return "size of set " + s.Name }
func sumKey(s *Set) string       { return "sha256 of set " + s.Name }
func modelKey(m *Model) string   { return "model " + m.Name }
func weightsKey(m *Model) string { return "weights of model " + m.Name }

// grown tells whether a value is a set's size, and as large as it was or larger.
func grown(key, is, was string) bool {
	var problems, n, hadProblems, hadN int
	_, err := fmt.Sscanf(is, sizeFormat, &problems, &n)
	_, oldErr := fmt.Sscanf(was, sizeFormat, &hadProblems, &hadN)
	return strings.HasPrefix(key, "size of set ") && err == nil && oldErr == nil && problems >= hadProblems && n >= hadN
}

// identity is what decides over an evaluation's answers and verdicts, but for
// what its name has.
func (e *Evaluation) identity(p *Plan) Identity {
	id := Identity{"verifier": or(p.Spec.Verifier, "the default")}
	if len(p.Spec.Set) > 0 {
		id["verifier"] += fmt.Sprintf(" with %q", p.Spec.Set)
	}
	if e.Model.Folder != "" {
		id[weightsKey(e.Model)] = e.Model.Weights
	} else {
		id[modelKey(e.Model)] = e.Model.Served
	}
	if j := e.Judge; j != nil {
		id["judge "+j.Name] = fmt.Sprintf("model %s, template %s, empty_question %t, tail %d", or(j.Model, "the only one"), or(j.Template, "the paper's"), j.EmptyQuestion, j.Tail)
	}
	for _, c := range e.Cells {
		id[sizeKey(c.Set)] = fmt.Sprintf(sizeFormat, c.Problems, c.N)
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
	if err := os.MkdirAll(dir, 0o777); err != nil {
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
