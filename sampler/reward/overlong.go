package reward

import "github.com/justrl/justrl/sampler"

var _ sampler.Shaper = Overlong{}

// Overlong is DAPO's soft punishment of long answers (arXiv 2503.14476,
// equation 13, as verl's reward manager has it). An answer of so many tokens
// gets on top of the verifier's reward
//
//	min(0, (MaxTokens − Buffer − tokens) / Buffer · Factor)
//
// nothing up to MaxTokens − Buffer, then evenly less, −Factor at MaxTokens. No
// answer can be longer; one that is nevertheless gets −Factor, as in the paper
// (verl's formula would go on). Whether it is correct stays what the verifier
// said. JustRL does without: its paper found that the penalty ends exploration.
// Settings outside their bounds are refused where a run's are, by the
// configuration's Validate.
type Overlong struct {
	MaxTokens int     // the longest possible response, ≥ 1
	Buffer    int     // tokens before MaxTokens over which the penalty grows, in [1, MaxTokens]
	Factor    float64 // the greatest penalty, > 0 and finite
}

// Shape implements [sampler.Shaper].
func (o Overlong) Shape(s sampler.Score, tokens int) sampler.Score {
	over := min(tokens-(o.MaxTokens-o.Buffer), o.Buffer)
	if over <= 0 {
		return s
	}
	s.Penalty = -float64(over) / float64(o.Buffer) * o.Factor
	s.Reward += s.Penalty
	return s
}
