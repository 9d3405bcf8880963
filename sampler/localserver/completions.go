package localserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// completion is a request of /v1/completions.
type completion struct {
	generation
	echo  bool
	alone bool // the echo alone: one token is generated, and not told
}

// parseCompletion reads and checks a body in vLLM's order. The refusal of a
// stream that had begun is late.
func (s *Server) parseCompletion(f *form, id string) (c *completion, bad, late *refusal) {
	if bad := f.early(false); bad != nil {
		return nil, bad, nil
	}
	raw, bad := f.prompts(s.model.MaxLen)
	if bad != nil {
		return nil, bad, nil
	}
	model := f.text("model", true)
	p := f.params()
	p.defaults = s.o.Defaults
	n := f.integer("n", false)
	p.n = deref(n, 1)
	if p.maxTokens == nil {
		p.maxTokens = new(int64)
		*p.maxTokens = 16
	}
	p.logprobs = f.integer("logprobs", true)
	c = &completion{echo: f.flag("echo", true, false)}
	id = requestID(id, f)
	if bad := f.problems.refusal(); bad != nil {
		return nil, bad, nil
	}
	if bad := s.checkModel(model); bad != nil {
		return nil, bad, nil
	}
	if c.echo && p.promptLogprobs == nil {
		p.promptLogprobs = p.logprobs
	}
	c.generation = generation{s: s, id: "cmpl-" + id, created: time.Now().Unix(), params: p}
	if bad := s.checkMost(*p.maxTokens); bad != nil {
		return nil, bad, nil
	}
	if c.prompts, bad = s.tokenise(raw); bad != nil {
		return nil, bad, nil
	}
	if c.echo && *p.maxTokens == 0 {
		c.alone = true
		one := int64(1)
		p.maxTokens = &one
	}
	bad, late = c.prepare(p, 16)
	return c, bad, late
}

// checkMost refuses more tokens than any prompt leaves room for.
func (s *Server) checkMost(maxTokens int64) *refusal {
	if maxTokens <= int64(s.model.MaxLen) {
		return nil
	}
	return invalidf("max_tokens", maxTokens, "max_tokens=%d cannot be greater than max_model_len=%d. Please request fewer output tokens.", maxTokens, s.model.MaxLen)
}

// prepare checks the sampling parameters for each prompt and makes the
// engine's request.
func (g *generation) prepare(p params, defaultTokens int64) (bad, late *refusal) {
	longest := 0
	for i, prompt := range g.prompts {
		longest = max(longest, len(prompt.ids))
		r, bad := g.s.sampling(p, int64(g.s.model.MaxLen-len(prompt.ids)), defaultTokens)
		if bad != nil {
			return bad, nil
		}
		r.MaxTokens = max(r.MaxTokens, g.request.MaxTokens)
		if i > 0 {
			r.Seed = g.request.Seed
		}
		g.request = r
		g.subIDs = append(g.subIDs, fmt.Sprintf("%s-%d", g.id, i))
	}
	if n := len(g.prompts) * g.request.N; n > g.s.o.MaxSamples {
		return invalid("n", fmt.Sprintf("the request asks for %d samples, more than this server has at once (%d): send fewer prompts or a smaller n", n, g.s.o.MaxSamples)), nil
	}
	for _, prompt := range g.prompts {
		if late = g.s.checkPrompt(prompt); late != nil {
			return nil, late
		}
	}
	return nil, g.s.late(p, &g.request)
}

func (c *completion) answer(w http.ResponseWriter, r *http.Request) {
	results, err := c.run(r.Context())
	if err != nil {
		asRefusal(err).write(w)
		return
	}
	s := c.s
	reply := completionReply{
		ID: c.id, Object: "text_completion", Created: c.created, Model: s.o.Models[0], Choices: []completionChoice{},
		SystemFingerprint: s.fingerprint, Usage: count(c.prompts, results),
	}
	for i, res := range results {
		var positions []*pairs[position]
		if !finite(res.scores) {
			notJSON.write(w)
			return
		}
		if c.params.promptLogprobs != nil {
			positions = promptLogprobs(s.o.Tokenizer, res.scores)
		}
		for _, a := range res.samples {
			if c.params.logprobs != nil && !finite(a.tokens) {
				notJSON.write(w)
				return
			}
			choice := completionChoice{
				Index: len(reply.Choices), Text: a.text, FinishReason: a.finish, StopReason: a.stop, PromptLogprobs: positions,
			}
			choice.Text, choice.Logprobs, _ = c.piece(i, a.tokens, a.text, c.echo, res.scores, &speller{tok: s.o.Tokenizer, asIDs: c.params.tokensAsIDs}, 0)
			if c.params.returnIDs {
				choice.TokenIDs, choice.PromptTokenIDs = idsOf(a.tokens), c.prompts[i].ids
			}
			reply.Choices = append(reply.Choices, choice)
		}
	}
	writeJSON(w, reply)
}

// piece is the text and the log-probs of tokens that follow a text offset; of
// the prompt too where it is echoed. It gives the offset after them.
func (c *completion) piece(i int, tokens []Token, text string, echo bool, scores []Token, p *speller, offset int) (string, *completionLogprobs, int) {
	var l *completionLogprobs
	k := topOf(c.params.logprobs, c.s.model.Vocab)
	if c.params.logprobs != nil {
		l = newCompletionLogprobs()
	}
	if echo {
		prefix := ""
		if !c.params.returnIDs { // the ids tell it already
			prefix = c.promptText(i)
		}
		if l != nil {
			offset = l.echo(c.s.o.Tokenizer, c.params.tokensAsIDs, c.prompts[i].ids, scores, k)
		}
		if c.alone {
			return prefix, l, offset
		}
		text = prefix + text
	}
	if l != nil {
		offset = l.add(p, tokens, k, offset)
	}
	return text, l, offset
}

// promptText is the text of a prompt, its special tokens shown.
func (c *completion) promptText(i int) string {
	if c.prompts[i].text != nil {
		return *c.prompts[i].text
	}
	return c.s.o.Tokenizer.Decode(c.prompts[i].ids, false)
}

// stream writes the reply in events.
func (c *completion) stream(w http.ResponseWriter, r *http.Request, late *refusal) {
	out := newStream(w)
	defer out.done()
	if late != nil {
		out.fail(late)
		return
	}
	s, n := c.s, c.request.N
	type progress struct {
		speller speller
		offset  int
		tokens  int
		begun   bool
	}
	samples := make([]progress, len(c.prompts)*n)
	for i := range samples {
		samples[i].speller = speller{tok: s.o.Tokenizer, asIDs: c.params.tokensAsIDs}
	}
	chunk := func() streamed {
		return streamed{ID: c.id, Object: "text_completion", Created: c.created, Model: s.o.Models[0], Choices: []any{}}
	}
	results, err := c.follow(r.Context(), out, func(e event) error {
		index := e.prompt*n + e.sample
		at := &samples[index]
		if c.params.logprobs != nil && !finite(e.tokens) {
			out.fail(notJSON)
			return notJSON
		}
		piece := completionPiece{Index: index, FinishReason: orNull(e.finish), StopReason: e.stop}
		echo := c.echo && !at.begun
		if echo || !at.begun && c.params.returnIDs {
			piece.PromptTokenIDs = c.prompts[e.prompt].ids
		}
		at.begun = true
		piece.Text, piece.Logprobs, at.offset = c.piece(e.prompt, e.tokens, e.text, echo, c.scores[e.prompt], &at.speller, at.offset)
		if c.params.returnIDs {
			piece.TokenIDs = idsOf(e.tokens)
		}
		at.tokens += len(e.tokens)
		x := chunk()
		x.Choices = append(x.Choices, piece)
		if e.finish != "" && !c.params.usage {
			x.SystemFingerprint = s.fingerprint
		}
		if c.params.usageEach {
			prompt := len(c.prompts[e.prompt].ids)
			x.Usage = shortUsage{prompt, prompt + at.tokens, at.tokens}
		}
		return out.send(x)
	})
	if err != nil {
		if !errors.Is(err, notJSON) { // it has been told
			out.fail(asRefusal(err))
		}
		return
	}
	if c.params.usage {
		x := chunk()
		x.Usage, x.SystemFingerprint = count(c.prompts, results).short(), s.fingerprint
		_ = out.send(x)
	}
}
