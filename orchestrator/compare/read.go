package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Run is one run, and what it took.
type Run struct {
	Dir   string `json:"dir"`
	Seed  int64  `json:"seed"`
	Steps int    `json:"steps"`
	// Tokens are the response tokens sampled in the steps that there are, what dynamic
	// sampling left out included; Trained the prompt and response tokens of their updates.
	Tokens        int64   `json:"response_tokens"`
	Trained       int64   `json:"trained_tokens"`
	Seconds       float64 `json:"wall_s,omitempty"` // 0 of a run that has not ended
	WeightsSHA256 string  `json:"weights_sha256,omitempty"`
	journal.Costs

	preset   string
	unpriced string // what its records do not say; "" for nothing
	steps    []point
	measured []journal.Validation
	changes  []change
}

// point is a step: what it came to, and what the steps up to it took.
type point struct {
	reward, correct, length, cut, entropy float64

	at [axisCount]float64 // NaN from where a record does not say
}

// change is where a run went on as another experiment: a stage of a curriculum, or
// what --allow-changed-recipe allowed.
type change struct {
	step     int // before which, counted from 0
	settings []string
}

func (c change) equal(o change) bool {
	return c.step == o.step && slices.Equal(c.settings, o.settings)
}

func read(dir string) (*Run, config.Config, error) {
	var cfg config.Config
	info, err := journal.ReadInfo(dir)
	if err != nil {
		return nil, cfg, err
	}
	path := filepath.Join(dir, "config.yaml")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cfg, fmt.Errorf("%s: is not there, and only it says which runs are of one recipe", path)
	}
	if err != nil {
		return nil, cfg, fmt.Errorf("run directory: %w", err)
	}
	if cfg, err = config.Recorded(text); err != nil {
		return nil, cfg, fmt.Errorf("%s: %w", path, err)
	}
	r := &Run{Dir: dir, Seed: info.Seed, preset: cfg.Preset}
	var sum [axisCount]float64
	for s, err := range journal.Lines[journal.Step](journal.StepsPath(dir)) {
		if err != nil {
			return nil, cfg, err
		}
		r.All = r.All.Add(s.Cost)
		for i, a := range axes {
			sum[i] += a.each(s)
		}
		correct := s.Correct
		if s.Drawn != nil { // those that are trained on were chosen by it
			correct = s.CorrectShare
		}
		r.steps = append(r.steps, point{s.ScoreMean, correct, s.ResponseMean, s.ResponseClip, s.Entropy, sum})
		r.Tokens, r.Trained, r.WeightsSHA256 = r.Tokens+s.ResponseTokens(), r.Trained+int64(s.Tokens), s.WeightsSHA256
	}
	for v, err := range journal.Lines[journal.Validation](journal.ValidationsPath(dir)) {
		if err != nil {
			return nil, cfg, err
		}
		r.All = r.All.Add(v.Cost)
		r.measured = append(r.measured, v)
	}
	spent, err := journal.All[journal.Spent](journal.SpentPath(dir))
	if err != nil {
		return nil, cfg, err
	}
	r.Steps = len(r.steps)
	summary, ended, err := journal.ReadSummary(dir)
	if err != nil {
		return nil, cfg, err
	}
	if ended && summary.Steps >= r.Steps { // else it went on after it
		r.Seconds = summary.WallS
	}
	resumes, err := journal.Resumes(dir)
	if err != nil {
		return nil, cfg, err
	}
	for _, o := range journal.RecipeChanges(resumes) {
		c := change{o.NextStep, o.Recipe}
		if !slices.ContainsFunc(r.changes, c.equal) { // one that was broken off says it again
			r.changes = append(r.changes, c)
		}
	}
	r.Costs = r.WithSpent(spent, r.Steps, ended)
	for i, a := range axes {
		if r.Steps > 0 && math.IsNaN(sum[i]) {
			r.unpriced = fmt.Sprintf("%s does not say what all of its steps took (%s): it was begun by an older justrl, and is not compared by that.", dir, a.Name)
			break
		}
	}
	return r, cfg, nil
}

// upTo is how many steps a run had done when it had taken no more than budget.
func (r *Run) upTo(axis int, budget float64) int {
	n := 0
	for n < len(r.steps) && r.steps[n].at[axis] <= budget*(1+1e-12) {
		n++
	}
	return n
}

// took is what a run's steps took, all of them; NaN if that is not known.
func (r *Run) took(axis int) float64 {
	if len(r.steps) == 0 {
		return math.NaN()
	}
	return r.steps[len(r.steps)-1].at[axis]
}

// after is what a run had taken after so many steps.
func (r *Run) after(axis, steps int) float64 {
	if steps <= 0 {
		return 0
	}
	if steps > len(r.steps) {
		return math.NaN()
	}
	return r.steps[steps-1].at[axis]
}
