package monitor

import (
	"math"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// history is what the records have said so far.
type history struct {
	rollouts float64 // of a batch

	reward, correct, equal     *column
	entropy, length, truncated *column
	unscored, mismatch         *column
	disagreement               *column
	noReasoning, boxedOnly     *column
	manyBoxes, oneAnswer       *column
	copied, looping            *column

	gradient float64 // largest norm of an update of the last step
	largest  float64 // of those before, spikes left out
	steps    int

	measured []measurement
	rescored *journal.Rescored // of the last step; nil without it
}

const (
	// comparedWindow is how many comparisons are judged together: they are far apart.
	comparedWindow = 2
	// fewBoxed is the share of answers with a box below which nothing is said of them.
	fewBoxed = 0.1
	// leastK3 is in nats; two bf16 implementations of one model differ by as much.
	leastK3 = 2e-5
)

func newHistory(c config.Config) history {
	column := func() *column { return newColumn(c.Monitor.Window) }
	return history{
		rollouts: float64(c.Sampling.Batch * c.Sampling.N),
		reward:   column(), correct: column(), equal: column(), entropy: column(), length: column(), truncated: column(),
		unscored: column(), mismatch: column(), noReasoning: column(), boxedOnly: column(), manyBoxes: column(), oneAnswer: column(),
		copied: column(), looping: column(), disagreement: newColumn(comparedWindow),
	}
}

// add takes a step's record. With dynamic sampling the groups that are trained on
// are chosen: reward, verdicts and equal groups are those of all that was drawn.
func (h *history) add(s journal.Step) {
	n, reward, correct, equal, drawn := h.rollouts, s.ScoreMean, s.Correct, s.EqualRows, 1.0
	if d := s.Drawn; d != nil {
		reward, correct = 2*d.CorrectShare-1, d.CorrectShare
		equal = float64(d.EqualGroups) / float64(max(d.Groups, 1))
		drawn = float64(max(d.Batches, 1))
	}
	h.reward.add(s.Step, reward, 0)
	h.correct.add(s.Step, correct, 0)
	h.equal.add(s.Step, equal, 0)
	h.entropy.add(s.Step, s.Entropy, 0)
	h.length.add(s.Step, s.ResponseMean, 0)
	h.truncated.add(s.Step, s.ResponseClip, n)
	failed := 0
	if u := s.Unscored; u != nil {
		failed = u.Errors + u.Timeouts
	}
	h.unscored.add(s.Step, float64(failed)/(n*drawn), n*drawn)
	if s.Mismatch.Tokens > 0 {
		h.mismatch.add(s.Step, math.Log(max(s.K3, leastK3)), 0)
	}
	if t := s.Texts; t != nil {
		if t.Boxed >= fewBoxed {
			h.noReasoning.add(s.Step, t.NoReasoning, n*t.Boxed)
			h.boxedOnly.add(s.Step, t.BoxedOnly, n*t.Boxed)
			h.manyBoxes.add(s.Step, t.ManyBoxes, n*t.Boxed)
		}
		h.oneAnswer.add(s.Step, t.OneAnswer, n)
		h.copied.add(s.Step, t.Copied, n)
		h.looping.add(s.Step, t.Looping, n)
	}
	if c := s.Compared; c != nil && c.Judged > 0 {
		of := float64(c.Judged)
		h.disagreement.add(s.Step, float64(c.OnlyTraining+c.OnlyOther)/of, of)
	}
	h.gradient = 0
	for _, u := range s.Updates {
		h.gradient = max(h.gradient, u.GradNorm)
	}
	h.rescored = s.Rescored
	h.steps++
}

// measurement is one validation: the mean over its sets, how many answers it
// rests on, and the training reward at that time.
type measurement struct {
	done     int
	accuracy float64
	variance float64 // of accuracy, by chance
	reward   float64 // NaN before training
}

func measured(v journal.Validation, reward *column) measurement {
	m := measurement{done: v.Steps, reward: math.NaN()}
	sets := float64(len(v.Accuracy))
	for set, a := range v.Accuracy {
		m.accuracy += a / sets
		n := float64(max(v.Answers[set], 1))
		p := min(max(a, 1/(n+1)), n/(n+1)) // none of n right is not none of all
		m.variance += p * (1 - p) / n / sets / sets
	}
	// The window may not be full yet: what there is says in which direction it goes.
	if n := min(len(reward.values), reward.window); n > 0 {
		m.reward = mean(reward.values[len(reward.values)-n:])
	}
	return m
}
