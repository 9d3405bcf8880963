package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// otherRates are another model's solve rates in one file of a set.
type otherRates struct {
	file  string
	truth map[int]string
	right map[int]int
	total map[int]int
}

// readRates reads the verdicts that grade wrote into a folder: solve rates by
// set. Of a set that is there several times only the first file counts. "" is none.
func readRates(dir string) (map[string]*otherRates, error) {
	if dir == "" {
		return nil, nil
	}
	sets := map[string]*otherRates{}
	err := eachLine(filepath.Join(dir, verdictsName), func(_ int, v gradedVerdict) error {
		if v.File == "" {
			return errors.New("needs the field file: is this a file of justrl grade --generations?")
		}
		name, _ := generations.ParseName(v.File)
		o := sets[name.Task]
		if o == nil {
			o = &otherRates{file: v.File, truth: map[int]string{}, right: map[int]int{}, total: map[int]int{}}
			sets[name.Task] = o
		}
		if o.file != v.File {
			return nil
		}
		o.truth[v.ExampleID] = v.Truth
		o.total[v.ExampleID]++
		if v.Correct {
			o.right[v.ExampleID]++
		}
		return nil
	})
	return sets, err
}

// compare holds a file against the other model's answers to the same set.
func (f *gradedFile) compare(sets map[string]*otherRates, seed uint64) error {
	o := sets[f.Hyperparameters.Task]
	if o == nil {
		return errors.New("the other folder does not have this set")
	}
	theirs := map[int]float64{}
	for id, n := range o.total {
		theirs[id] = float64(o.right[id]) / float64(n)
	}
	for _, v := range f.graded.Verdicts {
		if truth, ok := o.truth[v.ExampleID]; ok && truth != v.Truth {
			return fmt.Errorf("problem %d has the answer %.40q here and %.40q there: not the same set", v.ExampleID, v.Truth, truth)
		}
	}
	c, err := metrics.Compare(metrics.SolveRates(f.graded.Problems), theirs, seed)
	if err != nil {
		return err
	}
	f.Against = &comparedWith{File: o.file, Comparison: c, ByDifficulty: metrics.Breakdown(f.graded.Problems, metrics.Difficulty(theirs), seed)}
	return nil
}
