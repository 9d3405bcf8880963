package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// The files of an evaluation's folder.
const (
	resultsName  = "grading_results.json"
	verdictsName = "verdicts.jsonl" // grade's: of all files
	verdictsDir  = "verdicts"       // eval's: a file for each file of answers, by the same name
	recordName   = "eval.json"
)

// deepest is how many folders below an evaluation's its results may be.
const deepest = 3

// ErrNotEvaluation is a folder without results.
var ErrNotEvaluation = errors.New("no evaluation: it has no " + resultsName + ", which eval, sweep and grade --generations write when they are done")

// Options say where to find what a folder does not hold itself. The zero value
// is a report of the folders alone.
type Options struct {
	// Generations are folders with the answers, for evaluations that grade
	// wrote: these hold verdicts only. One for each evaluation in their order,
	// "" for those that have their own; none if all have.
	Generations []string
	// Problems gives the problems of a set, for breakdowns by their columns
	// where the folder does not have them ([WriteColumns]); nil, or no problems,
	// for a report without. The set has the paper's name.
	Problems func(set string) ([]benchmarks.Problem, error)
	// Seed is that of the bootstrap of comparisons and breakdowns.
	Seed uint64
}

// Report is what was read of evaluations.
type Report struct {
	Contenders []*Contender
	Cells      []*Cell  // by set, then by contender
	Sets       []string // in the order of the paper
	Folders    []Folder
	o          Options
	limits     limits
	variations []Variation
	// Growing says, a line a set, of which evaluations the results are of fewer
	// answers than they are to have.
	Growing []string
}

// Folder is an evaluation as its record has it.
type Folder struct {
	Path   string
	Record json.RawMessage // eval.json; nil without
}

// Is tells whether a folder holds results of an evaluation.
func Is(dir string) bool {
	found, err := resultsBelow(dir)
	return err == nil && len(found) > 0
}

// Open reads evaluations. The error wraps [ErrNotEvaluation] for a folder that
// is none, and names file and line of what cannot be read.
func Open(dirs []string, o Options) (*Report, error) {
	r := &Report{o: o, limits: defaultLimits()}
	if n := len(o.Generations); n > 0 && n != len(dirs) {
		return nil, fmt.Errorf("report: %d folders with answers for %d evaluations: one each is needed, in their order", n, len(dirs))
	}
	for i, dir := range dirs {
		answers := ""
		if i < len(o.Generations) {
			answers = o.Generations[i]
		}
		if err := r.add(dir, answers); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	for _, c := range r.Cells {
		if !slices.Contains(r.Sets, c.Set) {
			r.Sets = append(r.Sets, c.Set)
		}
	}
	sortSets(r.Sets)
	label(r.Contenders)
	slices.SortStableFunc(r.Cells, func(a, b *Cell) int {
		return cmp.Or(cmp.Compare(slices.Index(r.Sets, a.Set), slices.Index(r.Sets, b.Set)),
			cmp.Compare(slices.Index(r.Contenders, a.Contender), slices.Index(r.Contenders, b.Contender)))
	})
	return r, r.readColumns()
}

// resultsBelow are the folders that have results, by name.
func resultsBelow(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || strings.Count(rel, string(filepath.Separator)) >= deepest):
			return filepath.SkipDir
		case !d.IsDir() && d.Name() == resultsName:
			found = append(found, filepath.Dir(path))
		}
		return nil
	})
	return found, err
}

// record is what of eval.json is shown by name.
type record struct {
	Model   string          `json:"model"`
	Grading json.RawMessage `json:"grading"`
	Sets    map[string]struct{ N, Problems int }
}

// entry is an element of grading_results.json: File is grade's, Template and Set
// are eval's.
type entry struct {
	Hyperparameters generations.Name `json:"hyperparameters"`
	metrics.Results
	File     string          `json:"file"`
	Grader   json.RawMessage `json:"grader"`
	Template string          `json:"template"`
	Set      string          `json:"set"`
}

func (r *Report) add(dir, answers string) error {
	found, err := resultsBelow(dir)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s: %w", dir, ErrNotEvaluation)
	}
	for _, at := range found {
		text, rec, home, err := recordOf(dir, at)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(r.Folders, func(f Folder) bool { return f.Path == home }) {
			r.Folders = append(r.Folders, Folder{home, text})
		}
		if err := r.addResults(home, at, answers, rec); err != nil {
			return err
		}
	}
	return nil
}

// recordOf finds the record that is nearest above the results.
func recordOf(dir, at string) (text json.RawMessage, rec record, home string, err error) {
	for home = at; ; home = filepath.Dir(home) {
		path := filepath.Join(home, recordName)
		text, err = os.ReadFile(path)
		switch {
		case err == nil:
			if err = json.Unmarshal(text, &rec); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			return text, rec, home, err
		case !errors.Is(err, fs.ErrNotExist):
			return nil, rec, home, err
		case home == dir || home == filepath.Dir(home):
			return nil, rec, at, nil
		}
	}
}

func (r *Report) addResults(home, at, answers string, rec record) error {
	path := filepath.Join(at, resultsName)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var entries []entry
	if err := json.Unmarshal(b, &entries); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	together := map[string]*Cell{} // whose verdicts are in one file
	for i, e := range entries {
		if e.Problems < 1 || e.Hyperparameters.Task == "" {
			return fmt.Errorf("%s: entry %d has no problems or no task_name: was it written by justrl eval or justrl grade --generations?", path, i+1)
		}
		if e.File == "" {
			e.File = e.Hyperparameters.File()
		}
		if e.Grader == nil {
			e.Grader = rec.Grading
		}
		if e.Template == "" { // eval's folder of a template has its name
			if rel, err := filepath.Rel(home, at); err == nil && rel != "." {
				e.Template = filepath.ToSlash(rel)
			}
		}
		if e.Template == PaperTemplate {
			e.Template = ""
		}
		c := &Cell{Set: short(setName(cmp.Or(e.Set, e.Hyperparameters.Task)), 60), Sampling: e.Hyperparameters, Results: e.Results, Grader: grader(e.Grader)}
		c.Contender = r.contender(Contender{
			Model: short(cmp.Or(rec.Model, baseName(home)), 120), Template: short(e.Template, 60), Folder: home, sampling: sampling(e.Hyperparameters),
		}, c.Set)
		if c.File, err = findAnswers(home, at, answers, e.File); err != nil {
			return err
		}
		own := filepath.Join(at, verdictsDir, filepath.Base(e.File))
		switch err := c.readVerdicts(own); {
		case errors.Is(err, fs.ErrNotExist):
			together[e.File] = c
		case err != nil:
			return err
		}
		r.Cells = append(r.Cells, c)
		r.grows(rec, c)
	}
	if len(together) == 0 {
		return nil
	}
	return readVerdicts(filepath.Join(at, verdictsName), func(v fileVerdict) *Cell { return together[v.File] }, sortedValues(together))
}

// readVerdicts reads a file that has verdicts on this cell alone.
func (c *Cell) readVerdicts(path string) error {
	return readVerdicts(path, func(fileVerdict) *Cell { return c }, []*Cell{c})
}

func baseName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Base(dir)
}

// contender is the one like c that has no cell of the set yet.
func (r *Report) contender(c Contender, set string) *Contender {
	for _, old := range r.Contenders {
		if old.Model == c.Model && old.Template == c.Template && old.Folder == c.Folder && old.sampling == c.sampling &&
			!slices.ContainsFunc(r.Cells, func(cell *Cell) bool { return cell.Contender == old && cell.Set == set }) {
			return old
		}
	}
	r.Contenders = append(r.Contenders, &c)
	return &c
}

// findAnswers finds the file of the answers: in the folder that was named, if
// one was, else beside the results or in the folders around them.
func findAnswers(home, at, named, name string) (string, error) {
	name = filepath.Base(name)
	folders := []string{at, filepath.Join(at, "generations"), home, filepath.Join(home, "generations")}
	if named != "" {
		folders = []string{named}
	}
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", nil
}

// grader is what decided, in one line: the verifier, then versions.
func grader(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return shown(string(raw))
	}
	var parts []string
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for _, k := range sorted(m) {
			switch v := m[k].(type) {
			case map[string]any:
				walk("", v)
			default:
				parts = append(parts, fmt.Sprintf("%s%s %v", prefix, k, v))
			}
		}
	}
	walk("", values)
	return shown(strings.Join(parts, ", "))
}

// fileVerdict is a line of a file of verdicts; File is grade's alone.
type fileVerdict struct {
	File string `json:"file"`
	benchmarks.Verdict
}

// readVerdicts gives the cells of a file their verdicts. Those that belong to
// none are passed over.
func readVerdicts(path string, cellOf func(fileVerdict) *Cell, cells []*Cell) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()                      //nolint:errcheck // read only
	byProblem := map[*Cell]map[int]int{} // id → index in rates
	in := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, end := in.ReadBytes('\n')
		if end != nil && !errors.Is(end, io.EOF) {
			return fmt.Errorf("%s: %w", path, end)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			var v fileVerdict
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("%s:%d: %w", path, n, err)
			}
			if c := cellOf(v); c != nil {
				if byProblem[c] == nil {
					byProblem[c] = map[int]int{}
				}
				c.take(v, byProblem[c])
			}
		}
		if end != nil {
			break
		}
	}
	for _, c := range cells {
		if err := c.check(); err != nil {
			return fmt.Errorf("%s: %w; grade again, or take the folder as one grading left it", path, err)
		}
	}
	return nil
}

func (c *Cell) take(v fileVerdict, index map[int]int) {
	i, ok := index[v.ExampleID]
	if !ok {
		i = len(c.rates)
		index[v.ExampleID] = i
		c.rates = append(c.rates, metrics.Problem{ID: v.ExampleID})
	}
	c.rates[i].Answers = append(c.rates[i].Answers, metrics.Answer{Correct: v.Correct})
	if !v.Correct {
		c.wrong = append(c.wrong, v.Verdict)
	}
}

// check holds the verdicts against the results, which were written together.
func (c *Cell) check() error {
	answers, solved := 0, 0.0
	for _, p := range c.rates {
		answers += len(p.Answers)
		solved += p.SolveRate() / float64(len(c.rates))
	}
	if len(c.rates) != c.Results.Problems || answers != c.Results.Answers {
		return fmt.Errorf("%s has %d verdicts on %d problems, its results %d on %d", c.Set, answers, len(c.rates), c.Results.Answers, c.Results.Problems)
	}
	if d := solved - c.Results.MeanScore; d > 1e-6 || d < -1e-6 {
		return fmt.Errorf("%s: the verdicts give a mean score of %.4f, the results say %.4f", c.Set, solved, c.Results.MeanScore)
	}
	slices.SortFunc(c.rates, func(a, b metrics.Problem) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(c.wrong, func(a, b benchmarks.Verdict) int {
		return cmp.Or(cmp.Compare(a.ExampleID, b.ExampleID), cmp.Compare(a.Sample, b.Sample))
	})
	return nil
}
