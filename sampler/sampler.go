// Package sampler turns problems into scored groups of rollouts.
//
// A [Row] is one drawn problem with its rendered prompt. A [Generator] (one
// per kind of server, in a folder of its own) samples rollouts for it, a
// [Verifier] scores them, and [Sampler.Sample] does both for many rows at
// once and returns the groups in the order of the rows.
//
// JustRL trains on every row it draws, a group of equal rewards included, and
// on the verifier's reward as it is. What other recipes add is not here: which
// groups are trained on is the orchestrator's business (dynamic sampling), and
// a reward that looks at an answer's length is a [Shaper], nil in JustRL.
// Deliberately absent: curricula and any filter of groups.
package sampler

import (
	"context"
	"errors"
)

// Problem is one exercise of a dataset.
type Problem struct {
	// ID names the problem within its dataset; two draws of one problem share it.
	ID string
	// Question is the user's message as the dataset has it, without the instruction that asks for a boxed answer.
	Question string
	// Answer is the ground truth that a Verifier compares with.
	Answer string
	// Choices are what there is to choose from, as lines "A. …"; "" where there are none.
	Choices string
}

// Row is one drawn problem: the unit that becomes a [Group].
type Row struct {
	// Ordinal counts the rows drawn since the start of the run and is never
	// reused: the same problem drawn twice is two rows, two groups, two seeds.
	Ordinal int64
	Problem Problem
	// PromptTokenIDs is the prompt after chat template and tokenizer; never empty.
	PromptTokenIDs []int32
}

// FinishReason says why a rollout ended.
type FinishReason string

// The reasons that servers give. An aborted rollout is not a rollout: the sampler asks for it again.
const (
	FinishStop   FinishReason = "stop"   // end-of-sequence token or stop string
	FinishLength FinishReason = "length" // max_tokens or the model's context was reached
	FinishAbort  FinishReason = "abort"  // the server gave up on the request
)

// Rollout is one sampled answer.
type Rollout struct {
	// Sample is the index within the group, 0 … n-1.
	Sample int
	// TokenIDs are the sampled tokens, the end-of-sequence token included; never empty.
	TokenIDs []int32
	// Logprobs are the server's natural log-probs of TokenIDs, one each; nil if the server gave none.
	Logprobs []float32
	// Text is the answer as the server decoded it, special tokens left out.
	Text         string
	FinishReason FinishReason
	// WeightsVersion is the version that the server is known to have sampled it with.
	WeightsVersion int64
	// Server names the one of a fleet that sampled it; "" where there is but one.
	Server string
	// Score is the verifier's; its zero value before [Sampler.Sample] has filled it in.
	Score Score
}

// Group is the rollouts of one row, in the order of their sample index.
type Group struct {
	Row      Row
	Rollouts []Rollout
	// Errors and Timeouts count the rollouts that are left out because the
	// verifier failed on them, or took too long. Neither is a wrong answer.
	Errors, Timeouts int
}

// Params are the sampling parameters of a request. Every field is sent
// explicitly, so that no server default can change the distribution.
type Params struct {
	N           int     // rollouts a row, ≥ 1
	Temperature float64 // 0 is greedy (N must be 1 then)
	TopP        float64 // (0, 1]; 1 is off
	TopK        int     // -1 is off
	MinP        float64 // [0, 1]; 0 is off
	MaxTokens   int     // response tokens, ≥ 1
	// StopTokenIDs end a rollout beside the model's own end-of-sequence token.
	StopTokenIDs []int32
	// Logprobs asks for the log-prob of every sampled token.
	Logprobs bool
}

// Request asks a server for the samples [First, First+Count) of one row.
type Request struct {
	PromptTokenIDs []int32
	Params         Params
	// Seed is the row's base seed; sample j draws from the stream Seed + j on
	// every server, so that one missing sample can be asked for alone.
	Seed  int64
	First int
	Count int
	// Version is that of the weights that must answer: a fleet asks only
	// servers that serve it. 0 is any.
	Version int64
	// Expected is how many tokens a sample will probably have; 0 is unknown. It
	// decides over the order in which a fleet begins its requests, nothing else.
	Expected int
}

// ErrAborted is in the chain of a Generator's error when the server gave up on
// samples (a pause, an operator) and all tries were used up: asked again, they
// have the same tokens.
var ErrAborted = errors.New("the server aborted the request")

// Generator samples rollouts from one deployment. Implementations are safe for
// concurrent use and hold no state of a request after it returned.
type Generator interface {
	// Generate returns exactly r.Count rollouts, in the order of their sample
	// index, with Score and WeightsVersion left zero. It blocks until all have
	// ended. Cancelling ctx ends the request on the server too and returns
	// ctx's error. A failed request returns no rollouts.
	Generate(ctx context.Context, r Request) ([]Rollout, error)
}

// Score is a verifier's judgement of one rollout.
type Score struct {
	// Reward is what the rollout is trained on: what the verifier gives, +1 or
	// -1 for the strict box, with Penalty added.
	Reward float64
	// Penalty is the part of Reward that a [Shaper] added, at most 0; without one 0.
	Penalty float64
	// Correct tells whether the verifier accepted the answer, whatever its Penalty.
	Correct bool
	// Answer is what the verifier took as the rollout's answer; "" if it found none.
	Answer string
}

// ErrVerifyTimeout is in the chain of a Verifier's error when it took too long
// over one pair: asked again, it would again.
var ErrVerifyTimeout = errors.New("verifier took too long")

// Verifier scores a rollout's text against a ground truth. Implementations are
// safe for concurrent use.
type Verifier interface {
	// Verify returns a score, or an error when the verifier itself failed or
	// timed out. An error is never a wrong answer: the caller counts it apart.
	Verify(ctx context.Context, text, truth string) (Score, error)
}

// Shaper changes what a scored rollout earns by what a Verifier does not see.
// Implementations are pure: the same score and length give the same result.
type Shaper interface {
	// Shape returns s with its Penalty set, and added to its Reward, for an
	// answer of so many response tokens. Correct and Answer stay the verifier's.
	Shape(s Score, tokens int) Score
}
