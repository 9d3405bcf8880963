package sweep

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
)

// Spec is a matrix: every combination of its lists is a cell. Paths are absolute.
// One with Training has nothing else.
type Spec struct {
	Training  []*Training
	Models    []*Model
	Servers   []*Server
	Sets      []*Set
	Sampling  []Sampling
	Templates []evaluate.Template
	Judges    []*Judge // nil is none
	Limit     int      // the first problems of each set; 0 is all
	DataDir   string   // of the nine sets' files; "" is the cache
	Verifier  string   // "" is the caller's default
	Set       []string // KEY=VALUE of the verifier
}

// Sampling is one kind of it.
type Sampling struct {
	Temperature float64 `json:"temperature"`
	TopP        float64 `json:"top_p"`
	N           int     `json:"n"` // answers a problem; 0 is the paper's, by set
	MaxTokens   int     `json:"max_tokens"`
	Seed        int64   `json:"seed"`
}

// Judge is a model with the second word.
type Judge struct {
	Name          string
	URL           string
	Model         string // served name; "" is the only one
	APIKeyEnv     string
	Template      string // path; "" is the paper's criteria
	EmptyQuestion bool
	Tail          int
}

// What the paper evaluates with, and how many streams a server gets: as many
// as vLLM works on by default.
const (
	defaultTemperature = 0.7
	defaultTopP        = 0.9
	defaultMaxTokens   = 31744
	defaultConcurrency = 256
)

// None is what no judge is called in a spec.
const None = "none"

// Faults are all that is wrong with a spec, each one with file, line and key.
type Faults []error

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As all of them.
func (f Faults) Unwrap() []error { return f }

// Read reads a spec and looks at every file that it names; it asks no server.
// Paths in it are relative to its folder. The error is [Faults], or that the
// file cannot be read.
func Read(path string) (*Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return read(path, folder, text)
}

func read(path, folder string, text []byte) (*Spec, error) {
	r := &reader{document: document{path: path}, folder: folder, spec: &Spec{}}
	if root := r.parse(text); root != nil {
		r.root(root)
	}
	if len(r.faults) > 0 {
		return nil, Faults(r.faults)
	}
	return r.spec, nil
}

// reader is a document on its way to a Spec.
type reader struct {
	document
	folder string
	spec   *Spec
	at     map[any]ast.Node // where a model, server, … stands, by its pointer
}

func (r *reader) root(n ast.Node) {
	s := r.spec
	r.at = map[any]ast.Node{}
	trains := false
	models := func() {} // read when all servers are known
	r.mapping(n, "", map[string]func(string, ast.Node){
		"models":    func(key string, v ast.Node) { models = func() { r.list(v, key, r.model) } },
		"servers":   func(key string, v ast.Node) { r.list(v, key, r.server) },
		"sets":      func(key string, v ast.Node) { r.list(v, key, r.set) },
		"sampling":  func(key string, v ast.Node) { r.list(v, key, r.sampling) },
		"templates": func(key string, v ast.Node) { r.list(v, key, r.template) },
		"judges":    func(key string, v ast.Node) { r.list(v, key, r.judge) },
		"limit":     func(key string, v ast.Node) { s.Limit = int(r.whole(v, key, 1, 1<<31)) },
		"data_dir":  func(key string, v ast.Node) { s.DataDir = r.path(r.text(v, key)) },
		"verifier":  func(key string, v ast.Node) { s.Verifier = r.text(v, key) },
		"set":       func(key string, v ast.Node) { r.list(v, key, r.assignment) },
		"training":  func(key string, v ast.Node) { r.training(key, v); trains = true },
	})
	if trains {
		r.alone(n)
		return
	}
	models()
	for _, k := range []struct {
		key string
		n   int
	}{{"models", len(s.Models)}, {"servers", len(s.Servers)}, {"sets", len(s.Sets)}} {
		if k.n == 0 && len(r.faults) == 0 {
			r.fault(nil, k.key, "is missing: a sweep needs models, servers and sets, or training")
		}
	}
	if len(s.Sampling) == 0 {
		s.Sampling = []Sampling{{defaultTemperature, defaultTopP, 0, defaultMaxTokens, 0}}
	}
	if len(s.Templates) == 0 {
		s.Templates = []evaluate.Template{{}}
	}
	if len(s.Judges) == 0 {
		s.Judges = []*Judge{nil}
	}
	r.assign()
	r.limits()
}

// path makes a path of the spec absolute.
func (r *reader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(r.folder, p)
}

func (r *reader) assignment(key string, v ast.Node) {
	a := r.text(v, key)
	if a != "" && !strings.HasPrefix(a, "reward.") {
		r.fault(v, key, "is %q: only keys of reward are for a sweep, like reward.abs_tolerance=0.01", a)
	}
	r.spec.Set = append(r.spec.Set, a)
}

// sampling reads lists of values: their combinations are added.
func (r *reader) sampling(key string, v ast.Node) {
	temperatures, topPs, ns, tokens, seeds := []float64{defaultTemperature}, []float64{defaultTopP}, []int64{0}, []int64{defaultMaxTokens}, []int64{0}
	numbers := func(into *[]float64, want string, ok func(float64) bool) func(string, ast.Node) {
		return func(key string, v ast.Node) {
			*into = nil
			r.list(v, key, func(key string, v ast.Node) { *into = append(*into, r.number(v, key, want, ok)) })
		}
	}
	wholes := func(into *[]int64, least, most int64) func(string, ast.Node) {
		return func(key string, v ast.Node) {
			*into = nil
			r.list(v, key, func(key string, v ast.Node) { *into = append(*into, r.whole(v, key, least, most)) })
		}
	}
	r.mapping(v, key, map[string]func(string, ast.Node){
		"temperature": numbers(&temperatures, "from 0 to 2", func(x float64) bool { return x >= 0 && x <= 2 }),
		"top_p":       numbers(&topPs, "above 0 and at most 1", func(x float64) bool { return x > 0 && x <= 1 }),
		"n": func(key string, v ast.Node) {
			ns = nil
			r.list(v, key, func(key string, v ast.Node) {
				if s, ok := r.plain(v).(*ast.StringNode); ok && s.Value == evaluate.PaperName {
					ns = append(ns, 0)
					return
				}
				ns = append(ns, r.whole(v, key, 1, 1<<20))
			})
		},
		"max_tokens": wholes(&tokens, 1, 1<<30),
		"seed":       wholes(&seeds, -1<<62, 1<<62),
	})
	if n := len(temperatures) * len(topPs) * len(ns) * len(tokens) * len(seeds); n > maxSamplings {
		r.fault(v, key, "has %d combinations, more than %d", n, maxSamplings)
		return
	}
	for _, t := range temperatures {
		for _, p := range topPs {
			for _, n := range ns {
				for _, m := range tokens {
					for _, seed := range seeds {
						r.addSampling(v, key, Sampling{t, p, int(n), int(m), seed})
					}
				}
			}
		}
	}
}

func (r *reader) addSampling(at ast.Node, key string, s Sampling) {
	for _, old := range r.spec.Sampling {
		if old == s {
			r.fault(at, key, "has %s twice", s)
			return
		}
	}
	if _, err := generations.NewName("set", s.Temperature, s.TopP, max(s.N, 1), s.MaxTokens); err != nil && len(r.faults) == 0 {
		r.fault(at, key, "%v", err)
	}
	r.spec.Sampling = append(r.spec.Sampling, s)
}

// String is the sampling as folders have it.
func (s Sampling) String() string {
	return fmt.Sprintf("t%g-p%g-n%s-m%d-s%d", s.Temperature, s.TopP, s.n(), s.MaxTokens, s.Seed)
}

// n is how many answers a problem has, as folders have it.
func (s Sampling) n() string {
	if s.N > 0 {
		return fmt.Sprint(s.N)
	}
	return evaluate.PaperName
}

func (r *reader) template(key string, v ast.Node) {
	name := r.text(v, key)
	if name == "" {
		return
	}
	t := evaluate.Template{}
	if name != evaluate.PaperName {
		var err error
		if t, err = evaluate.ReadTemplate(r.path(name)); err != nil {
			r.fault(v, key, "%v", err)
			return
		}
	}
	for _, old := range r.spec.Templates {
		if strings.EqualFold(old.Title(), t.Title()) {
			r.fault(v, key, "a template called %s is there already: a template has its file's name", t.Title())
			return
		}
	}
	r.spec.Templates = append(r.spec.Templates, t)
}

func (r *reader) judge(key string, v ast.Node) {
	j := &Judge{Name: "judge"}
	if !r.isMapping(v) {
		if word := r.text(v, key); word == None {
			j = nil
		} else if word != "" {
			j.URL = r.url(v, key, word)
		}
	} else {
		text := func(into *string) func(string, ast.Node) {
			return func(key string, v ast.Node) { *into = r.text(v, key) }
		}
		r.mapping(v, key, map[string]func(string, ast.Node){
			"name": text(&j.Name), "url": func(key string, v ast.Node) { j.URL = r.url(v, key, r.text(v, key)) },
			"model": text(&j.Model), "api_key_env": text(&j.APIKeyEnv),
			"template":       func(key string, v ast.Node) { j.Template = r.file(v, key) },
			"empty_question": func(key string, v ast.Node) { j.EmptyQuestion = r.flag(v, key) },
			"tail":           func(key string, v ast.Node) { j.Tail = int(r.whole(v, key, 1, 1<<31)) },
		})
		if j.URL == "" {
			r.fault(v, key, "a judge needs a url")
		}
	}
	for _, old := range r.spec.Judges {
		switch {
		case old == nil && j == nil:
			r.fault(v, key, "%s is there already", None)
			return
		case old != nil && j != nil && slug(old.Name) == slug(j.Name):
			r.fault(v, key, "a judge called %s is there already: give each a name", j.Name)
			return
		}
	}
	r.spec.Judges = append(r.spec.Judges, j)
}

// file reads the path of a file that is there.
func (r *reader) file(v ast.Node, key string) string {
	name := r.text(v, key)
	if name == "" {
		return ""
	}
	path := r.path(name)
	if st, err := os.Stat(path); err != nil {
		r.fault(v, key, "%v", err)
	} else if st.IsDir() {
		r.fault(v, key, "%s is a folder", path)
	}
	return path
}

// url reads the address of a server.
func (r *reader) url(v ast.Node, key, word string) string {
	u, err := url.Parse(word)
	if word == "" {
		return ""
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.fault(v, key, "is %q, want the address of a server like http://host:8000", word)
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(word, "/"), "/v1")
}

// A matrix beyond these has a list that was not meant.
const (
	maxCells     = 100_000
	maxSamplings = 1000
)

func (r *reader) limits() {
	s := r.spec
	cells := len(s.Models) * len(s.Sets) * len(s.Sampling) * len(s.Templates) * len(s.Judges)
	if cells > maxCells {
		r.fault(nil, "", "has %d cells, more than %d", cells, maxCells)
	}
}
