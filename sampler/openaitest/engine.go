package openaitest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/internal/watched"
	"github.com/justrl/justrl/sampler/localserver"
)

// engine is the policy as localserver serves it, with a prefix cache that goes
// stale as vLLM's does. It draws a request's samples one after the other.
type engine struct {
	mu        watched.Lock
	o         Options
	weights   string // hash of the loaded weights
	served    string // the folder that they were loaded from
	broken    bool   // a load failed half way: the next generation kills the engine
	dead      bool
	prefix    map[string]string // prefix cache: blocks of a prompt → weights they were computed with
	policies  map[string]*Policy
	frozen    bool
	running   int // generations under way, and hung requests
	prompts   int64
	generated int64
}

var _ localserver.Engine = (*engine)(nil)

func newEngine(o Options) *engine {
	return &engine{o: o, weights: "initial", prefix: map[string]string{}, policies: map[string]*Policy{}}
}

func (e *engine) Model() localserver.Model {
	return localserver.Model{Vocab: e.o.Vocab, MaxLen: e.o.MaxModelLen, EOS: []int32{e.o.EOS}}
}

func (e *engine) options() Options {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.o
}

// policy makes or finds the policy of some weights; e.mu is held.
func (e *engine) policy(weights string) *Policy {
	if e.policies[weights] == nil {
		e.policies[weights] = NewPolicy(e.o, weights)
	}
	return e.policies[weights]
}

func (e *engine) Generate(ctx context.Context, r localserver.Request) ([]localserver.Sample, error) {
	e.mu.Change(func() { e.running++; e.prompts += int64(len(r.Prompt)) })
	defer e.mu.Change(func() { e.running-- })
	if e.dies() {
		return nil, localserver.ErrDead
	}
	out := make([]localserver.Sample, r.N)
	for j := range out {
		sample, err := e.sample(ctx, r, j)
		switch {
		case err == nil:
		case errors.Is(context.Cause(ctx), localserver.ErrAborted):
			sample.Finish = "abort"
		default:
			return nil, err
		}
		out[j] = sample
		e.mu.Lock()
		e.generated += int64(len(sample.Tokens))
		e.mu.Unlock()
	}
	return out, nil
}

// dies tells that the engine is dead, or dies now of a load that failed half way.
func (e *engine) dies() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dead = e.dead || e.broken
	return e.dead
}

// sample draws sample j; with an error it is what there was so far.
func (e *engine) sample(ctx context.Context, r localserver.Request, j int) (localserver.Sample, error) {
	o := e.options()
	policy, weights := e.policyFor(r)
	d := newDraw(o, r, j)
	s := localserver.Sample{Finish: "length", StopToken: -1}
	var script []int32
	if o.Script != nil {
		seed := d.seed
		if r.Temperature == 0 && !o.IgnoreTemperature {
			seed = 0 // a greedy answer does not depend on it
		}
		script = o.Script(r.Prompt, seed)
	}
	tell := r.OnToken
	if tell == nil || o.Logprobs != nil { // told at the end, when the model has scored them
		tell = func(int, localserver.Token) bool { return false }
	}
	prev := r.Prompt[len(r.Prompt)-1]
	for len(s.Tokens) < r.MaxTokens {
		if err := e.mu.Until(ctx, func() bool {
			if weights != e.weights { // loaded while this waited: its cache is computed again
				policy, weights = e.policy(e.weights), e.weights
			}
			return !e.frozen
		}); err != nil {
			return s, err
		}
		if err := wait(ctx, o.TokenTime); err != nil {
			return s, err
		}
		at := len(s.Tokens)
		var id int32
		reported := policy.row(prev)
		switch {
		case at < len(script):
			id = script[at]
		case script != nil:
			return e.rescore(o, r, j, s), nil
		default:
			id, reported = d.next(policy, prev, at)
		}
		d.seen[id]++
		t := token(reported, id, r.Top)
		s.Tokens = append(s.Tokens, t)
		stopped := tell(j, t)
		if stop, which := d.stops(id, len(s.Tokens)); stop || stopped {
			s.Finish, s.StopToken = "stop", which
			break
		}
		prev = id
	}
	return e.rescore(o, r, j, s), nil
}

// rescore puts the log-probs of Options.Logprobs in the place of the policy's.
func (e *engine) rescore(o Options, r localserver.Request, j int, s localserver.Sample) localserver.Sample {
	if o.Logprobs == nil {
		return s
	}
	ids := slices.Clone(r.Prompt)
	for _, t := range s.Tokens {
		ids = append(ids, t.ID)
	}
	scores := e.modelLogprobs(o, ids)
	for i := range s.Tokens {
		s.Tokens[i].Logprob = float64(scores[len(r.Prompt)-1+i])
		if r.OnToken != nil && r.OnToken(j, s.Tokens[i]) {
			s.Tokens, s.Finish, s.StopToken = s.Tokens[:i+1], "stop", -1
			break
		}
	}
	return s
}

// modelLogprobs are those of Options.Logprobs under the served weights.
func (e *engine) modelLogprobs(o Options, ids []int32) []float32 {
	e.mu.Lock()
	dir := e.served
	e.mu.Unlock()
	return o.Logprobs(dir, ids)
}

// token is id with its log-prob, its rank, and the most likely ones of a row.
func token(row []float64, id int32, top int) localserver.Token {
	t := localserver.Token{ID: id, Logprob: rounded(row[id]), Rank: 1}
	for _, x := range row {
		if x > row[id] {
			t.Rank++
		}
	}
	if top == 0 {
		return t
	}
	order := make([]int32, len(row))
	for v := range order {
		order[v] = int32(v)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case row[a] > row[b]:
			return -1
		case row[a] < row[b]:
			return 1
		}
		return 0
	})
	for i, v := range order[:min(top, len(order))] {
		t.Top = append(t.Top, localserver.Candidate{ID: v, Logprob: rounded(row[v]), Rank: i + 1})
	}
	return t
}

// rounded is a log-prob in float32, as vLLM has them.
func rounded(x float64) float64 {
	if math.IsInf(x, -1) {
		return x
	}
	return float64(float32(x))
}

func (e *engine) Score(_ context.Context, ids []int32, top int) ([]localserver.Token, error) {
	if e.dies() {
		return nil, localserver.ErrDead
	}
	o := e.options()
	e.mu.Lock()
	policy := e.policy(e.weights)
	e.mu.Unlock()
	var out []localserver.Token
	for i := 1; i < len(ids); i++ {
		out = append(out, token(policy.row(ids[i-1]), ids[i], top))
	}
	if o.Logprobs != nil && len(ids) > 1 {
		for i, x := range e.modelLogprobs(o, ids) {
			out[i].Logprob = float64(x)
		}
	}
	return out, nil
}

func (e *engine) Freeze(on bool) { e.mu.Change(func() { e.frozen = on }) }

func (e *engine) ResetCache() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.o.KeepOldCache {
		clear(e.prefix)
	}
}

func (e *engine) Checksums(context.Context) (map[string]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	sum := sha256.Sum256([]byte(e.weights))
	return map[string]string{"policy.weight": hex.EncodeToString(sum[:])}, nil
}

func (e *engine) Stats() localserver.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return localserver.Stats{Running: e.running, PromptTokens: e.prompts, GeneratedTokens: e.generated}
}

// Load reads weights; its errors have vLLM's words.
func (e *engine) Load(_ context.Context, dir string) error {
	sum, err := HashWeights(dir)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "no *.safetensors file"):
		if strings.Count(dir, "/") > 1 { // it is taken for a name on the Hub
			return verbatim("Repo id must be in the form 'repo_name' or 'namespace/repo_name': '" + dir + "'. Use `repo_type` argument if needed.")
		}
		return verbatim("Repo id must use alphanumeric chars, '-', '_' or '.'. The name cannot start or end with '-' or '.' and the maximum length is 96: '" + dir + "'.")
	case err != nil:
		e.broken = true // until a good load; a generation before that kills the engine
		return verbatim("Error while deserializing header: " + err.Error())
	}
	e.broken = false
	if !e.o.KeepOldWeights {
		e.weights, e.served = sum, dir
	}
	return nil
}

// verbatim is an error in vLLM's words.
type verbatim string

func (v verbatim) Error() string { return string(v) }

// policyFor is the policy that a request sees, and the weights now: it is
// theirs, unless the prompt's prefix was cached under older ones.
func (e *engine) policyFor(r localserver.Request) (*Policy, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	blocks := len(r.Prompt) / e.o.Block
	if blocks == 0 {
		return e.policy(e.weights), e.weights
	}
	key := prefixKey(r.Salt, r.Prompt[:blocks*e.o.Block])
	cached, hit := e.prefix[key]
	if !hit {
		e.prefix[key] = e.weights
	}
	if r.Fresh || !hit || cached == e.weights {
		return e.policy(e.weights), e.weights
	}
	return e.policy(mixWeights(cached, e.weights)), e.weights
}

func prefixKey(salt string, ids []int32) string {
	var b strings.Builder
	b.WriteString(salt)
	b.WriteByte(0)
	for _, id := range ids {
		for shift := 0; shift < 32; shift += 8 {
			b.WriteByte(byte(id >> shift))
		}
	}
	return b.String()
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
