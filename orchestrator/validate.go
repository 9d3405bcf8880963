package orchestrator

import (
	"context"
	"fmt"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// The seeds of validation are those of no training step, so that none of them
// shares a stream with one.
const (
	validationSeedStep = -1
	sampledSeedStep    = -2 // of validation.sampled_n
)

// validate measures accuracy on every held-out set where that is due: before
// the first step, every so many, after the last. Its seeds depend on nothing
// but the run's, so that one measurement can be compared with another.
func (r *Run) validate(ctx context.Context) error {
	done, every := r.progress.NextStep, r.Config.Validation.Every
	due := done == 0 || r.complete() || every > 0 && done%every == 0
	if len(r.HeldOut) == 0 || !due || r.validated == done {
		return nil
	}
	watch := startStopwatch(r.Now)
	_ = r.asked() // what came before is no validation's
	record, answers, err := r.measureAll(ctx, done)
	record.ServerSeconds = serverSeconds(r.asked())
	if err != nil {
		return withSpent(err, r.Journal.AppendSpent(journal.Spent{Step: done, Validation: true, Why: journal.SpentBroken, Cost: record.Cost}))
	}
	for _, set := range r.HeldOut {
		var sampled *float64
		if share, ok := record.Sampled[set.Name]; ok {
			sampled = &share
		}
		r.Observer.Validated(done-1, set.Name, record.Accuracy[set.Name], sampled)
	}
	for i, set := range r.HeldOut {
		if err := r.Journal.WriteAnswers(done, set.Name, answers[i]); err != nil {
			return err
		}
	}
	r.validated = done
	record.Seconds, record.Ended = watch.total(), r.Now().UTC()
	if err := r.Journal.AppendValidation(record); err != nil {
		return err
	}
	return r.notice(r.monitor.Validated(record))
}

// measureAll measures every set, until no server had a part in it that did not
// serve what it was to serve.
func (r *Run) measureAll(ctx context.Context, done int) (journal.Validation, [][]journal.Answer, error) {
	var cost journal.Cost // of all measurements
	for {
		r.Observer.Phase(done-1, "validate")
		record := journal.Validation{Steps: done, Accuracy: map[string]float64{}, Answers: map[string]int{}, Cost: cost}
		answers := make([][]journal.Answer, len(r.HeldOut))
		for i, set := range r.HeldOut {
			accuracy, sampled, err := r.measure(ctx, set, &answers[i], &record.Cost)
			if err != nil {
				return record, nil, fmt.Errorf("validate on %s: %w", set.Name, err)
			}
			if n := len(set.Rows)*(r.Config.Validation.N+r.Config.Validation.SampledN) - len(answers[i]); n > 0 {
				if record.Unscored == nil {
					record.Unscored = map[string]int{}
				}
				record.Unscored[set.Name] = n
			}
			record.Answers[set.Name] = answered(answers[i])
			record.Accuracy[set.Name] = accuracy
			if sampled != nil {
				if record.Sampled == nil {
					record.Sampled = map[string]float64{}
				}
				record.Sampled[set.Name] = *sampled
			}
		}
		others, err := r.Bridge.Check(ctx)
		if err != nil {
			return record, nil, fmt.Errorf("validate: %w", err)
		}
		if len(others) == 0 {
			return record, answers, nil
		}
		cost = record.Cost
	}
}

// measure answers a set as validation.temperature says, and once more at the
// training temperature where validation.sampled_n asks for it; sampled is nil
// where it does not. The answers are added to answers, and what they took to cost.
func (r *Run) measure(ctx context.Context, set HeldOut, answers *[]journal.Answer, cost *journal.Cost) (accuracy float64, sampled *float64, err error) {
	v, s := r.Config.Validation, r.Validator
	if s == nil {
		s = r.Sampler
	}
	p := sampler.Params{N: v.N, Temperature: v.Temperature, TopP: v.TopP, TopK: -1, MaxTokens: v.MaxTokens}
	groups, err := s.Sample(ctx, set.Rows, p, sampler.StepSeeds(r.Config.Seed, validationSeedStep), r.live.Version)
	if err != nil {
		return 0, nil, err
	}
	*answers = appendAnswers(*answers, groups, false)
	cost.TokensValidated += int64(responseTokens(groups))
	cost.FLOPsValidated += r.forwardFLOPs(groups)
	accuracy = correctShare(groups)
	if v.SampledN == 0 {
		return accuracy, nil, nil
	}
	p.N, p.Temperature, p.TopP = v.SampledN, r.Config.Sampling.Temperature, 1
	groups, err = s.Sample(ctx, set.Rows, p, sampler.StepSeeds(r.Config.Seed, sampledSeedStep), r.live.Version)
	if err != nil {
		return 0, nil, err
	}
	*answers = appendAnswers(*answers, groups, true)
	cost.TokensValidated += int64(responseTokens(groups))
	cost.FLOPsValidated += r.forwardFLOPs(groups)
	share := correctShare(groups)
	return accuracy, &share, nil
}

// answered counts the answers that accuracy is a share of.
func answered(answers []journal.Answer) (n int) {
	for _, a := range answers {
		if !a.Sampled {
			n++
		}
	}
	return n
}
