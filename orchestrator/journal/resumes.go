package journal

import (
	"errors"
	"math"
	"slices"
	"time"
)

// Resume is a line of resumes.jsonl: a run that was taken up again, and what was
// other than when it began or was resumed last.
type Resume struct {
	Time     time.Time `json:"time"`
	NextStep int       `json:"next_step"` // with which it goes on
	Version  string    `json:"version"`   // of the program
	Host     string    `json:"host"`
	CPUs     int       `json:"cpus"`
	// Changed names the settings of where, how long and how carefully it runs that
	// are others now, each with both values: "trainer.threads is 4, was 2".
	Changed []string `json:"changed,omitempty"`
	// Recipe names those that make it another experiment, which --allow-changed-recipe allowed.
	Recipe []string `json:"recipe,omitempty"`
	// Damaged names the checkpoints that it could not take, with what is wrong with each.
	Damaged []string `json:"damaged,omitempty"`
}

// AppendResume adds a line to resumes.jsonl and syncs it.
func (d *Dir) AppendResume(r Resume) (err error) {
	l, err := openLines(d.file("resumes.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.f.Close()) }()
	return l.append(r)
}

// Resumes returns the lines of resumes.jsonl, without the run's lock.
func Resumes(run string) ([]Resume, error) {
	return All[Resume]((&Dir{path: run}).file("resumes.jsonl"))
}

// RecipeChanges are those of a run's resumed processes that changed its recipe, in
// order, each with the step from which on the run is of it as its NextStep: where a
// later process went back further, it has done the steps between under it too.
func RecipeChanges(all []Resume) (changes []Resume) {
	from := math.MaxInt
	for _, r := range slices.Backward(all) {
		if from = min(from, r.NextStep); len(r.Recipe) > 0 {
			r.NextStep = from
			changes = append(changes, r)
		}
	}
	slices.Reverse(changes)
	return changes
}
