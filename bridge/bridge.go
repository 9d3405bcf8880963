// Package bridge takes a finished snapshot of the weights live in the servers
// that sample from it, and proves that they serve it.
//
// Publishing has three stages, each visible in a name: a snapshot is
// *published* when its folder is complete on disk (internal/atomicdir), it is
// *loaded* when a server was told to read it and answered, and it is *live*
// when the [Canary] has seen the server's own log-probs move as they must.
// Only then does the version advance.
package bridge

import "context"

// Snapshot is a complete, published folder of weights in the Hugging Face
// layout, on a path that the servers can read too.
type Snapshot struct {
	Dir string // absolute
	// Version is never reused within a run; a server that shows it has these weights.
	Version int64
	Step    int
	// SHA256 is the hash over the tensors' names, dtypes, shapes and bytes in
	// name order: equal if and only if the weights are.
	SHA256 string
}

// Tensor names one tensor of a model: what must agree between a snapshot and the model a server was started with.
type Tensor struct {
	Name  string
	DType string // as safetensors spells it: F32, BF16, …
	Shape []int64
}

// Publisher loads snapshots into one deployment. One method at a time.
type Publisher interface {
	// Load makes the deployment serve s: it stops the flow of new tokens,
	// empties the prefix cache, loads, tags the weights with s.Version where
	// the server can, and lets requests go on. When it returns nil the server
	// has acknowledged all of that; whether it is true is the canary's
	// business. On an error the deployment may hold broken weights and must
	// not be sampled from until a Load has succeeded.
	Load(ctx context.Context, s Snapshot) error
}

// Scorer gives the log-probs of fixed sequences: the server's own through its
// prompt log-probs, or the trainer's through the updater.
type Scorer interface {
	// Score returns, for each sequence of T ≥ 2 tokens, T-1 natural log-probs
	// at temperature 1: entry t is that of token t+1 given tokens 0…t.
	// The server's must be computed afresh, without a prefix cache.
	Score(ctx context.Context, seqs [][]int32) ([][]float32, error)
}
