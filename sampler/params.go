package sampler

import (
	"errors"
	"fmt"
	"math"
)

// Validate reports every fault of p at once, or nil.
func (p Params) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.N < 1 {
		bad("n: %d is below 1", p.N)
	}
	if !finite(p.Temperature) || p.Temperature < 0 {
		bad("temperature: %v is not a number ≥ 0", p.Temperature)
	}
	if p.Temperature == 0 && p.N > 1 {
		bad("n: %d greedy samples would all be the same; temperature 0 needs n = 1", p.N)
	}
	if !(p.TopP > 0 && p.TopP <= 1) {
		bad("top_p: %v is outside (0, 1]; 1 is off", p.TopP)
	}
	if p.TopK != -1 && p.TopK < 1 {
		bad("top_k: %d is neither ≥ 1 nor -1 (off)", p.TopK)
	}
	if !(p.MinP >= 0 && p.MinP <= 1) {
		bad("min_p: %v is outside [0, 1]; 0 is off", p.MinP)
	}
	if p.MaxTokens < 1 {
		bad("max_tokens: %d is below 1", p.MaxTokens)
	}
	for _, id := range p.StopTokenIDs {
		if id < 0 {
			bad("stop_token_ids: %d is below 0", id)
		}
	}
	return errors.Join(errs...)
}

// ValidateTraining is [Params.Validate], and refuses what a policy gradient
// cannot be taken through: greedy and truncated sampling draw from another
// distribution than the one whose log-probs the updater computes, so the
// ratios would be wrong by an unknown factor.
func (p Params) ValidateTraining() error {
	errs := []error{p.Validate()}
	if p.Temperature == 0 {
		errs = append(errs, errors.New("temperature: 0 is greedy; training needs samples"))
	}
	for _, t := range []struct {
		on   bool
		text string
	}{
		{p.TopP < 1, fmt.Sprintf("top_p: %v truncates the distribution; training needs 1", p.TopP)},
		{p.TopK >= 1, fmt.Sprintf("top_k: %d truncates the distribution; training needs -1", p.TopK)},
		{p.MinP > 0, fmt.Sprintf("min_p: %v truncates the distribution; training needs 0", p.MinP)},
	} {
		if t.on {
			errs = append(errs, errors.New(t.text))
		}
	}
	return errors.Join(errs...)
}

// Validate reports every fault of r at once, or nil.
func (r Request) Validate() error {
	errs := []error{r.Params.Validate()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(r.PromptTokenIDs) == 0 {
		bad("prompt: empty")
	}
	if r.First < 0 || r.Count < 1 || r.First+r.Count > r.Params.N {
		bad("samples [%d, %d): outside the %d of a row", r.First, r.First+r.Count, r.Params.N)
	}
	if r.Seed < 0 || r.Seed > math.MaxInt64-int64(max(r.Params.N, 0)) {
		bad("seed: %d leaves no room for one stream a sample", r.Seed)
	}
	return errors.Join(errs...)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
