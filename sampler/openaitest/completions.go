package openaitest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// completions serves /v1/completions.
func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	o := s.options()
	req, prompt, bad := parseCompletion(o, body)
	if bad != nil {
		bad.write(w)
		return
	}
	ticket, err := s.gate.enter(r.Context())
	if err != nil {
		return // the client went away while the engine was paused
	}
	defer s.gate.leave()
	if dead := s.dies(); dead != nil {
		dead.write(w)
		return
	}
	reply := completionReply{
		ID: s.id("cmpl-"), Object: "text_completion", Created: 1795438822, Model: o.Model,
		SystemFingerprint: "vllm-" + o.Version + "-fake",
	}
	for j := range orDefault(req.N, 1) {
		c, err := s.choice(r.Context(), o, req, prompt, j, ticket)
		if err != nil {
			return
		}
		reply.Choices = append(reply.Choices, c)
		reply.Usage.CompletionTokens += len(c.TokenIDs)
	}
	reply.Usage.PromptTokens = len(prompt)
	reply.Usage.TotalTokens = len(prompt) + reply.Usage.CompletionTokens
	for i := range reply.Choices {
		if !req.ReturnTokenIDs {
			reply.Choices[i].TokenIDs, reply.Choices[i].PromptTokenIDs = nil, nil
		}
	}
	if f, ok := faultOf(r.Context()); ok {
		spoil(&reply, f, o)
	}
	writeJSON(w, reply)
}

// choice makes sample j of a request.
func (s *Server) choice(ctx context.Context, o Options, req completionRequest, prompt []int32, j, ticket int) (choice, error) {
	policy := s.policyFor(o, req, prompt)
	d := newDraw(o, req, j, policy)
	c := choice{Index: j, FinishReason: "length", TokenIDs: []int32{}, PromptTokenIDs: prompt}
	var script []int32
	if o.Script != nil {
		script = o.Script(prompt, d.seed)
	}
	var given []float64
	prev := prompt[len(prompt)-1]
	room := min(orDefault(req.MaxTokens, 16), o.MaxModelLen-len(prompt))
	for len(c.TokenIDs) < room {
		abort, err := s.gate.pass(ctx, ticket)
		if err != nil {
			return c, err
		}
		if abort {
			c.FinishReason = "abort"
			break
		}
		if err := wait(ctx, o.TokenTime); err != nil {
			return c, err
		}
		var id int32
		var logprob float64
		if at := len(c.TokenIDs); at < len(script) {
			id = script[at]
			logprob = policy.row(prev)[id]
		} else if script != nil {
			break
		} else {
			id, logprob = d.next(prev, len(c.TokenIDs))
		}
		c.TokenIDs, given = append(c.TokenIDs, id), append(given, float64(float32(logprob)))
		if stop, reason := d.stops(id, len(c.TokenIDs)); stop {
			c.FinishReason, c.StopReason = "stop", reason
			break
		}
		prev = id
	}
	if scores := s.modelLogprobs(o, slices.Concat(prompt, c.TokenIDs)); scores != nil {
		for i := range given {
			given[i] = float64(scores[len(prompt)-1+i])
		}
	}
	c.Text = o.Decode(withoutSpecial(c.TokenIDs))
	if req.Logprobs != nil {
		c.Logprobs = s.logprobs(o, c.TokenIDs, given)
	}
	if req.PromptLogprobs != nil {
		c.PromptLogprobs = promptLogprobs(o, policy, prompt, s.modelLogprobs(o, prompt))
	}
	return c, nil
}

func (s *Server) logprobs(o Options, ids []int32, given []float64) *tokenLogprobs {
	l := &tokenLogprobs{TextOffset: []int{}, TokenLogprobs: []float64{}, Tokens: []string{}, TopLogprobs: []map[string]float64{}}
	offset := 0
	for i, id := range ids {
		text := o.Decode([]int32{id})
		l.TextOffset = append(l.TextOffset, offset)
		l.TokenLogprobs = append(l.TokenLogprobs, given[i])
		l.Tokens = append(l.Tokens, text)
		l.TopLogprobs = append(l.TopLogprobs, map[string]float64{text: given[i]})
		offset += utf8.RuneCountInString(text)
	}
	return l
}

// modelLogprobs are those of Options.Logprobs; nil without it.
func (s *Server) modelLogprobs(o Options, ids []int32) []float32 {
	if o.Logprobs == nil {
		return nil
	}
	s.mu.Lock()
	dir := s.served
	s.mu.Unlock()
	return o.Logprobs(dir, ids)
}

// promptLogprobs are the policy's, or scores where there are any.
func promptLogprobs(o Options, policy *Policy, prompt []int32, scores []float32) []map[string]position {
	if scores == nil {
		scores = policy.Logprobs(prompt)
	}
	out := []map[string]position{nil}
	for t, x := range scores {
		id, rank := prompt[t+1], 1
		row := policy.row(prompt[t])
		for _, y := range row {
			if y > row[id] {
				rank++
			}
		}
		out = append(out, map[string]position{strconv.Itoa(int(id)): {Logprob: float64(x), Rank: rank, DecodedToken: o.Decode([]int32{id})}})
	}
	return out
}

func withoutSpecial(ids []int32) []int32 {
	out := make([]int32, 0, len(ids))
	for _, id := range ids {
		if id >= firstByte {
			out = append(out, id)
		}
	}
	return out
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

// dies tells that the engine is dead, or dies now of a reload that failed half way.
func (s *Server) dies() *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		s.dead = true
	}
	if !s.dead {
		return nil
	}
	return &refusal{http.StatusInternalServerError, "InternalServerError", "", "EngineCore encountered an issue. See stack trace (above) for the root cause."}
}

func (s *Server) id(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	return fmt.Sprintf("%s%016x", prefix, s.nextID)
}

type faultKey struct{}

func withFault(ctx context.Context, f Fault) context.Context {
	return context.WithValue(ctx, faultKey{}, f)
}

func faultOf(ctx context.Context) (Fault, bool) {
	f, ok := ctx.Value(faultKey{}).(Fault)
	return f, ok
}
