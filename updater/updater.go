// Package updater turns scored groups of rollouts into new weights.
//
// The package itself holds the words (what goes in, what comes out, the
// settings) and the pure-Go parts of a training step; updater/torch has the
// implementation on libtorch. Nothing outside updater/torch needs cgo.
package updater

import "context"

// Rollout is one sampled answer as the updater needs it.
type Rollout struct {
	// PromptTokenIDs and TokenIDs are the prompt and the response; neither is
	// empty, and every id is inside the model's vocabulary.
	PromptTokenIDs []int32
	TokenIDs       []int32
	// Logprobs are the server's log-probs of TokenIDs at the sampling
	// temperature, or nil. Needed when old_logprobs is "server"; otherwise
	// they only measure the mismatch between trainer and server.
	Logprobs []float32
	// Reward is the verifier's score.
	Reward float64
}

// Group is the rollouts of one drawn row: the unit of the advantage.
type Group struct {
	Ordinal  int64
	Rollouts []Rollout
}

// Scores are the model's own numbers for one sequence of T tokens.
type Scores struct {
	// Logprobs[t] is the natural log-prob of token t+1 given tokens 0…t; length T-1.
	Logprobs []float32
	// Entropy[t] is the entropy in nats of the distribution that token t+1 was drawn from; length T-1.
	Entropy []float32
}

// UpdateMetrics are the figures of one optimizer update (one mini-batch). The
// keys are verl's where verl has one.
type UpdateMetrics struct {
	PGLoss          float64 `json:"actor/pg_loss"`           // the policy's loss, without KL and entropy terms, in the configured aggregation
	PGClipFrac      float64 `json:"actor/pg_clipfrac"`       // share of response tokens whose ratio was clipped
	PGClipFracLower float64 `json:"actor/pg_clipfrac_lower"` // share of response tokens held by the dual clip (A < 0)
	PPOKL           float64 `json:"actor/ppo_kl"`            // token mean of old log-prob − log-prob
	PPOKL3          float64 `json:"actor/ppo_kl_k3"`         // token mean of ratio − 1 − log ratio: an estimate of the same KL that is never negative
	Entropy         float64 `json:"actor/entropy"`           // token mean, nats
	GradNorm        float64 `json:"actor/grad_norm"`         // L2, before clipping
	LR              float64 `json:"actor/lr"`
	Tokens          int     `json:"tokens"` // response tokens in the mini-batch
	Packs           int     `json:"packs"`  // micro-batches the mini-batch was run in

	// 0 where the term is off.
	KLLoss      float64 `json:"actor/kl_loss"`      // KL to the reference model, in the configured aggregation, before kl_coef
	KLCoef      float64 `json:"actor/kl_coef"`      // update.kl_coef
	EntropyLoss float64 `json:"actor/entropy_loss"` // entropy in the configured aggregation, before entropy_coef
	TISMean     float64 `json:"actor/tis_mean"`     // token mean of the truncated importance weights
	TISCapped   float64 `json:"actor/tis_capped"`   // share of response tokens whose weight is update.tis_cap
}

// Mismatch compares the server's log-probs with the trainer's own, token by
// token, before the first update of a step and before any clipping.
type Mismatch struct {
	Tokens int `json:"mismatch/tokens"` // response tokens compared; 0 if the server gave no log-probs
	// KL is the mean of logp_server − logp_trainer over sampled tokens: the k1
	// estimate of KL(server ‖ trainer), in nats.
	KL float64 `json:"mismatch/kl"`
	// KLStdErr is its standard error: what KL would be by chance alone.
	KLStdErr float64 `json:"mismatch/kl_std_err"`
	// RatioP50, RatioP99 and RatioMax are quantiles of exp(|logp_trainer − logp_server|): 1 is agreement.
	RatioP50 float64 `json:"mismatch/ratio_p50"`
	RatioP99 float64 `json:"mismatch/ratio_p99"`
	RatioMax float64 `json:"mismatch/ratio_max"`
	// K3 is the k3 estimate of the same KL: mean of ratio − 1 − log ratio, never negative.
	K3 float64 `json:"mismatch/kl_k3"`
	// The token whose log-probs differ most: its place, and logp_trainer − logp_server there.
	WorstGroup    int64   `json:"mismatch/worst_group"`   // ordinal
	WorstRollout  int     `json:"mismatch/worst_rollout"` // of the group, from 0
	WorstToken    int     `json:"mismatch/worst_token"`   // of the response, from 0
	WorstLogRatio float64 `json:"mismatch/worst_log_ratio"`
}

// StepResult is what one training step did.
type StepResult struct {
	Updates  []UpdateMetrics
	Mismatch Mismatch
}

// Updater trains one policy. It is not safe for concurrent use. Whoever made
// it closes it; Close frees the weights and is safe to call twice.
type Updater interface {
	// Step runs the optimizer updates of training step `step` (counted from 0,
	// which is what the learning-rate schedule counts) on the groups, in the
	// order of their ordinals whatever order they come in. gate, when it is not
	// nil, is called once, before the first weight changes; its error ends the
	// step with the weights as they were, and so does every failure before it.
	// It must not call the updater.
	// After an error that follows it the weights may be part-way through the
	// step: the caller must not publish them.
	Step(ctx context.Context, step int, groups []Group, gate func(Mismatch) error) (StepResult, error)
	// Score returns the log-probs and entropies of whole sequences (each ≥ 2
	// tokens) with logits divided by temperature. It changes nothing.
	Score(ctx context.Context, seqs [][]int32, temperature float64) ([]Scores, error)
	// Export writes the current weights into dir, an existing empty folder, in
	// the Hugging Face layout: same names, dtypes and shards as the model was
	// loaded from, with its config and tokenizer files beside them. The weights
	// are not synced: internal/atomicdir does that.
	Export(ctx context.Context, dir string) error
	// SaveState writes into dir what Export does not carry and a resumed run
	// needs: fp32 master weights, moments, the update count.
	SaveState(ctx context.Context, dir string) error
	// LoadState restores what SaveState wrote, weights included.
	LoadState(ctx context.Context, dir string) error
	Close() error
}
