package localserver

import (
	"context"
	"errors"
)

// Engine samples and scores sequences. Its methods are safe for concurrent use.
type Engine interface {
	// Model describes what is served; it never changes.
	Model() Model
	// Generate blocks until all r.N samples have ended and returns them in
	// order. Cancelling ctx ends it at once, also while frozen: if
	// context.Cause(ctx) is ErrAborted, the samples so far are returned with
	// Finish "abort" (those that had ended keep theirs) and a nil error, else
	// ctx's error. ErrDead means that no later call can succeed.
	Generate(ctx context.Context, r Request) ([]Sample, error)
	// Score gives one Token for each of ids[1:]: its log-prob given what
	// precedes it and its rank, raw (temperature 1, nothing truncated), and
	// the top most likely ones. It is computed afresh, from no cache. The
	// result is empty for fewer than two ids.
	Score(ctx context.Context, ids []int32, top int) ([]Token, error)
	// Freeze(true) returns when no token will be drawn until Freeze(false);
	// requests stay where they are. Freezing twice is freezing once.
	Freeze(on bool)
	// Load replaces the weights by those of a folder, all or nothing.
	// Requests under way go on with the new ones. The error's text is shown to
	// the client.
	Load(ctx context.Context, dir string) error
	// Checksums is the SHA-256 of each tensor, in hex, by name.
	Checksums(ctx context.Context) (map[string]string, error)
	// ResetCache empties the prefix cache, if there is one.
	ResetCache()
	// Stats is what /metrics shows; it must not block.
	Stats() Stats
}

var (
	// ErrAborted is the cause with which the server cancels a generation whose
	// partial answer the client is to get.
	ErrAborted = errors.New("the request was aborted")
	// ErrDead is an engine that has ended for good; in vLLM's words.
	ErrDead error = verbatim("EngineCore encountered an issue. See stack trace (above) for the root cause.")
)

// verbatim is an error in vLLM's words.
type verbatim string

func (v verbatim) Error() string { return string(v) }

// Model is what an engine serves.
type Model struct {
	Vocab  int     // number of token ids: rows of the embedding
	MaxLen int     // prompt and answer together, in tokens
	EOS    []int32 // ids that end a sequence; the first is the tokenizer's own
}

// Request asks for N samples after one prompt. Its parameters have been
// checked: ids are within the vocabulary, numbers finite and in range, and
// prompt and answer fit the context.
type Request struct {
	Prompt []int32 // not empty; the engine must not change it
	N      int     // at least 1
	Seed   int64   // sample j draws from the stream Seed+j, whatever else runs

	Temperature float64 // 0 is greedy, and then N is 1
	TopP        float64 // in (0, 1]; 1 = off
	TopK        int     // -1 = off
	MinP        float64 // in [0, 1]; 0 = off

	MaxTokens int // at least 1
	MinTokens int // until then EOS and StopTokenIDs cannot be drawn

	StopTokenIDs []int32 // end a sample, as EOS does; kept in its tokens
	IgnoreEOS    bool    // EOS is a token like others, unless StopTokenIDs has it

	// RepetitionPenalty divides positive logits of tokens that prompt or answer
	// have, and multiplies negative ones; the others are subtracted from the
	// logits of tokens that the answer has, once, or as often as it has them.
	// 1, 0, 0 = off.
	RepetitionPenalty, PresencePenalty, FrequencyPenalty float64

	LogitBias map[int32]float32 // added to logits before sampling; nil = none
	Allowed   []int32           // the only tokens that can be drawn; nil = all

	Top   int    // most likely tokens reported beside each sampled one; 0 = none
	Salt  string // prompts share cached prefixes only under the same salt
	Fresh bool   // computes the prompt without reading the prefix cache

	// OnToken, if not nil, is told each token of a sample in order, and ends
	// the sample by returning true (a stop string). It is called from the
	// engine's goroutine, never concurrently for one request, and returns quickly.
	OnToken func(sample int, t Token) bool
}

// Token is a token with its log-prob and those of its competitors: the raw
// distribution's, before temperature and truncation.
type Token struct {
	ID      int32
	Logprob float64 // natural
	Rank    int     // 1 is the most likely
	Top     []Candidate
}

// Candidate is one of the most likely tokens of a position.
type Candidate struct {
	ID      int32
	Logprob float64
	Rank    int
}

// Sample is an answer.
type Sample struct {
	Tokens    []Token // with the one that ended it
	Finish    string  // "stop", "length", "abort"
	StopToken int32   // the member of StopTokenIDs that ended it; -1 = none: EOS, length, OnToken
}

// Stats are an engine's numbers now; the counts are totals since its start.
type Stats struct {
	Running, Waiting              int     // sequences
	KVUsage                       float64 // share of the KV cache, 0 to 1
	PromptTokens, GeneratedTokens int64
	CacheQueries, CacheHits       int64 // prompt tokens looked up in the prefix cache, and found
	Preemptions                   int64
}
