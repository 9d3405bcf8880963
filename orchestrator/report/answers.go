package report

import (
	"cmp"
	"slices"

	"github.com/justrl/justrl/orchestrator/journal"
)

// change is what became of a problem's answer: was it right before, is it after?
type change int

const (
	becameRight change = iota
	stayedWrong
	stayedRight
	becameWrong
	changes
)

// shown is how many examples the page has of each change.
var shown = [changes]int{becameRight: 3, stayedWrong: 2, stayedRight: 1, becameWrong: 2}

// comparison is a held-out set answered before and after training.
type comparison struct {
	set           string
	before, after int // steps done
	sampled       bool
	problems      int // that were answered both times
	answers       int // ditto; as many as problems where each has one
	unmatched     int // answers that only one of the two measurements has
	counts        [changes]int
	examples      []example // the first of each change, in the order of the file
}

// example is a problem with its two answers.
type example struct {
	change        change
	before, after journal.Answer
}

// answerKey says which answer of the one measurement belongs to which of the
// other. A problem that the set holds twice is two.
type answerKey struct {
	problem    string
	sample     int
	occurrence int
}

// readAnswers compares the first with the last measurement whose answers were
// kept. Where there are no two, it takes excerpts of the training rollouts.
func (r *run) readAnswers(path string) error {
	first, last, sets, err := measuredTwice(path)
	if err != nil {
		return err
	}
	if err := r.compareAnswers(path, first, last, sets); err != nil || len(r.compared) > 0 {
		return err
	}
	r.excerpts, err = readExcerpts(path)
	return err
}

// measuredTwice is the first and the last measurement whose answers are kept, as
// steps done before them, and the sets that both have.
func measuredTwice(path string) (first, last int, sets []string, err error) {
	all, err := journal.Evaluations(path)
	if err != nil || len(all) < 2 {
		return 0, 0, nil, err
	}
	f, l := all[0], all[len(all)-1]
	for _, set := range f.Sets {
		if slices.Contains(l.Sets, set) {
			sets = append(sets, set)
		}
	}
	return f.Steps, l.Steps, sets, nil
}

func (r *run) compareAnswers(path string, first, last int, sets []string) error {
	r.compared = nil
	for _, set := range sets {
		c, err := compare(path, set, first, last)
		if err != nil {
			return err
		}
		if c.answers > 0 {
			r.compared = append(r.compared, c)
		}
	}
	return nil
}

// compare reads both files twice, first for the verdicts and then for the texts
// of the examples, so that a set's answers need not fit into memory.
func compare(path, set string, first, last int) (comparison, error) {
	c := comparison{set: set, before: first, after: last}
	files := [2]string{journal.AnswersPath(path, first, set), journal.AnswersPath(path, last, set)}
	var err error
	if c.sampled, err = onlySampled(files[0]); err != nil {
		return c, err
	}
	was := map[answerKey]bool{}
	err = eachAnswer(files[0], c.sampled, func(k answerKey, a journal.Answer) { was[k] = a.Correct })
	if err != nil {
		return c, err
	}
	wanted := map[answerKey]int{} // → index in examples
	problems := map[string]bool{}
	total := 0
	err = eachAnswer(files[1], c.sampled, func(k answerKey, a journal.Answer) {
		total++
		right, ok := was[k]
		if !ok {
			return
		}
		c.answers++
		problems[k.problem] = true
		kind := changeOf(right, a.Correct)
		if c.counts[kind]++; c.counts[kind] <= shown[kind] {
			wanted[k] = len(c.examples)
			c.examples = append(c.examples, example{change: kind, after: a})
		}
	})
	if err != nil {
		return c, err
	}
	c.problems, c.unmatched = len(problems), total+len(was)-2*c.answers
	err = eachAnswer(files[0], c.sampled, func(k answerKey, a journal.Answer) {
		if i, ok := wanted[k]; ok {
			c.examples[i].before = a
		}
	})
	slices.SortStableFunc(c.examples, func(a, b example) int { return cmp.Compare(a.change, b.change) })
	return c, err
}

func changeOf(before, after bool) change {
	switch {
	case !before && after:
		return becameRight
	case before && after:
		return stayedRight
	case before:
		return becameWrong
	default:
		return stayedWrong
	}
}

// onlySampled tells whether a file has no answers but those at the training temperature.
func onlySampled(file string) (bool, error) {
	for a, err := range journal.Lines[journal.Answer](file) {
		if err != nil || !a.Sampled {
			return false, err
		}
	}
	return true, nil
}

func eachAnswer(file string, sampled bool, visit func(answerKey, journal.Answer)) error {
	seen := map[answerKey]int{}
	for a, err := range journal.Lines[journal.Answer](file) {
		if err != nil {
			return err
		}
		if a.Sampled != sampled {
			continue
		}
		k := answerKey{problem: a.ProblemID, sample: a.Sample}
		seen[k]++
		k.occurrence = seen[answerKey{problem: a.ProblemID, sample: a.Sample}]
		visit(k, a)
	}
	return nil
}
