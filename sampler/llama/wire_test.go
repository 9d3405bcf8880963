package llama

import (
	"encoding/json"
	"slices"
	"testing"
)

// Seeds of one row, and of many, must not meet in 32 bits more often than by chance.
func TestStreamSeed(t *testing.T) {
	seen := map[uint32]bool{}
	const n = 10_000
	for j := range int64(n) {
		seen[streamSeed(1<<40+j)] = true
	}
	if len(seen) < n-2 || seen[1<<32-1] {
		t.Errorf("%d seeds of %d, the random one among them: %v", len(seen), n, seen[1<<32-1])
	}
}

// A reply never panics, and what is read as a log-prob is a number.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		`{"tokens":[1,2],"stop_type":"eos","tokens_evaluated":1,"completion_probabilities":[{"id":1,"logprob":-0.5},{"id":2,"logprob":-1e-3}]}`,
		`{"completion_probabilities":[{"id":1,"logprob":null}]}`, `{"completion_probabilities":[{"id":1,"logprob":"x"}]}`, `{"tokens":null}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var reply completionReply
		if json.Unmarshal(b, &reply) != nil {
			return
		}
		lps, err := sampledLogprobs(&reply)
		if err != nil {
			return
		}
		for i, x := range lps {
			if x > 1e-3 || !isNaN(x) && !slices.ContainsFunc(reply.Probabilities, func(p tokenProbs) bool { return p.ID == reply.Tokens[i] }) {
				t.Fatalf("%q: log-prob %v", b, x)
			}
		}
	})
}
