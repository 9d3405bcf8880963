package sampler

import "fmt"

// A token's log-prob is at most 0, but for rounding, and far above what stands
// for minus infinity (vLLM writes -9999).
const (
	maxLogprob = 1e-3
	minLogprob = -9000
)

// PossibleLogprob tells whether x can be the log-prob of a token that was
// sampled or scored: NaN, what is above 0 by more than rounding, and the marks
// for minus infinity cannot.
func PossibleLogprob[F ~float32 | ~float64](x F) bool { return x <= maxLogprob && x > minLogprob }

// InVocab tells whether a model that knows vocab ids has id; vocab 0 checks
// nothing but the sign.
func InVocab(id int32, vocab int) bool { return id >= 0 && (vocab == 0 || int(id) < vocab) }

// CheckPrompt names the first token of a prompt that is not of the vocabulary,
// as [InVocab] has it.
func CheckPrompt(ids []int32, vocab int) error {
	for i, id := range ids {
		if !InVocab(id, vocab) {
			return fmt.Errorf("prompt token %d is %d, outside the vocabulary of %d", i, id, vocab)
		}
	}
	return nil
}

// CheckTokens names the first token that a server gave and that is not of the
// vocabulary, as [InVocab] has it; the first of ids is token first of its answer.
func CheckTokens(ids []int32, first, vocab int) error {
	for i, id := range ids {
		if !InVocab(id, vocab) {
			return fmt.Errorf("token %d is %d, outside the vocabulary of %d: is this the run's model?", first+i, id, vocab)
		}
	}
	return nil
}

// CheckLogprobs names the first log-prob that no sampled token can have.
func CheckLogprobs(logprobs []float32) error {
	for i, x := range logprobs {
		if !PossibleLogprob(x) {
			return fmt.Errorf("token %d has log-prob %v, which no sampled token can have", i, x)
		}
	}
	return nil
}
