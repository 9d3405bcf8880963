package localserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// chat is a request of /v1/chat/completions.
type chat struct {
	generation
	conversation conversation
	echo         string // text that precedes the answer
	role         string
	logprobs     bool
	top          int
	showPrompt   bool
	text         string // of the prompt
}

// parseChat reads and checks a body, as parseCompletion does.
func (s *Server) parseChat(f *form, id string) (c *chat, bad, late *refusal) {
	if bad := f.early(true); bad != nil {
		return nil, bad, nil
	}
	c = &chat{}
	if c.conversation, bad = f.conversation(); bad != nil {
		if bad == errMultimodal {
			bad = invalid("", fmt.Sprintf(bad.message, s.o.Models[0]))
		}
		return nil, bad, nil
	}
	model := f.text("model", true)
	p := f.params()
	p.defaults = s.o.Defaults
	p.n = deref(f.integer("n", true), 1)
	if most := f.integer("max_completion_tokens", true); most != nil {
		p.maxTokens = most
	}
	c.logprobs = f.flag("logprobs", true, false)
	top := deref(f.integer("top_logprobs", true), 0)
	echo := f.flag("echo", false, false)
	c.showPrompt = f.flag("return_prompt_text", true, false)
	id = requestID(id, f)
	if bad := f.problems.refusal(); bad != nil {
		return nil, bad, nil
	}
	if bad := s.checkModel(model); bad != nil {
		return nil, bad, nil
	}
	if c.logprobs {
		p.logprobs = &top
	}
	if echo && p.promptLogprobs == nil {
		p.promptLogprobs = &top
	}
	c.generation = generation{s: s, id: "chatcmpl-" + id, created: time.Now().Unix(), params: p}
	if bad := s.checkMost(deref(p.maxTokens, 0)); bad != nil {
		return nil, bad, nil
	}
	if bad := s.size(c.conversation); bad != nil {
		return nil, bad, nil
	}
	if c.text, bad = s.render(c.conversation); bad != nil {
		return nil, bad, nil
	}
	if c.prompts, bad = s.tokenise(rawPrompts{texts: []string{c.text}}); bad != nil {
		return nil, bad, nil
	}
	c.top = topOf(&top, s.model.Vocab)
	last := c.conversation.messages[len(c.conversation.messages)-1]
	if c.role = "assistant"; !c.conversation.begin {
		c.role = last.Role
	}
	if echo && last.Role == c.role {
		c.echo = last.Content
	}
	bad, late = c.prepare(p, deref(s.o.Defaults.MaxTokens, int64(s.model.MaxLen)))
	c.subIDs = []string{c.id}
	return c, bad, late
}

func (c *chat) answer(w http.ResponseWriter, r *http.Request) {
	results, err := c.run(r.Context())
	if err != nil {
		asRefusal(err).write(w)
		return
	}
	s, res := c.s, results[0]
	reply := chatReply{
		ID: c.id, Object: "chat.completion", Created: c.created, Model: s.o.Models[0], Choices: []chatChoice{},
		SystemFingerprint: s.fingerprint, Usage: count(c.prompts, results), PromptText: c.promptText(),
	}
	if !finite(res.scores) {
		notJSON.write(w)
		return
	}
	if c.params.promptLogprobs != nil {
		reply.PromptLogprobs = promptLogprobs(s.o.Tokenizer, res.scores)
	}
	if c.params.returnIDs {
		reply.PromptTokenIDs = c.prompts[0].ids
	}
	for j, a := range res.samples {
		if c.logprobs && !finite(a.tokens) {
			notJSON.write(w)
			return
		}
		choice := chatChoice{
			Index: j, Message: chatMessage{Role: c.role, Content: c.echo + a.text}, FinishReason: a.finish, StopReason: a.stop,
			Logprobs: c.logprobsOf(a.tokens, &speller{tok: s.o.Tokenizer, asIDs: c.params.tokensAsIDs}),
		}
		if c.params.returnIDs {
			choice.TokenIDs = idsOf(a.tokens)
		}
		reply.Choices = append(reply.Choices, choice)
	}
	writeJSON(w, reply)
}

func (c *chat) promptText() *string {
	if c.showPrompt {
		return &c.text
	}
	return nil
}

// logprobsOf is nil unless they were asked for.
func (c *chat) logprobsOf(tokens []Token, p *speller) *chatLogprobs {
	if !c.logprobs {
		return nil
	}
	return newChatLogprobs(p, tokens, c.top)
}

// stream writes the reply in events.
func (c *chat) stream(w http.ResponseWriter, r *http.Request, late *refusal) {
	out := newStream(w)
	defer out.done()
	if late != nil {
		out.fail(late)
		return
	}
	s, n := c.s, c.request.N
	prompt := len(c.prompts[0].ids)
	spellers, tokens := make([]speller, n), make([]int, n)
	for j := range spellers {
		spellers[j] = speller{tok: s.o.Tokenizer, asIDs: c.params.tokensAsIDs}
	}
	chunk := func(choice any, tokens int) streamed {
		x := streamed{ID: c.id, Object: "chat.completion.chunk", Created: c.created, Model: s.o.Models[0], Choices: []any{choice}}
		if c.params.usageEach {
			x.Usage = chatUsage{shortUsage{prompt, prompt + tokens, tokens}, nil}
		}
		return x
	}
	begun := false
	results, err := c.follow(r.Context(), out, func(e event) error {
		if c.logprobs && !finite(e.tokens) {
			out.fail(notJSON)
			return notJSON
		}
		if !begun {
			begun = true
			if err := c.open(out, n, chunk); err != nil {
				return err
			}
		}
		tokens[e.sample] += len(e.tokens)
		piece := chatRole{
			Index: e.sample, Delta: roleDelta{Content: e.text}, FinishReason: orNull(e.finish),
			Logprobs: c.logprobsOf(e.tokens, &spellers[e.sample]),
		}
		var ids []int32
		if c.params.returnIDs {
			ids = idsOf(e.tokens)
		}
		if e.finish == "" {
			return out.send(chunk(chatPiece{piece, ids}, tokens[e.sample]))
		}
		x := chunk(chatEnd{piece, e.stop, ids}, tokens[e.sample])
		if !c.params.usage {
			x.SystemFingerprint = s.fingerprint
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
		x := chunk(nil, 0)
		x.Choices, x.Usage, x.SystemFingerprint = []any{}, count(c.prompts, results).short(), s.fingerprint
		_ = out.send(x)
	}
}

// open sends the events that name the role, one for each sample, and the echo.
func (c *chat) open(out *stream, n int, chunk func(choice any, tokens int) streamed) error {
	for j := range n {
		x := chatOpening{streamed: chunk(chatRole{Index: j, Delta: roleDelta{Role: c.role}}, 0), PromptText: c.promptText()}
		if c.params.returnIDs {
			x.PromptTokenIDs = c.prompts[0].ids
		}
		if err := out.send(x); err != nil {
			return err
		}
	}
	for j := range n {
		if c.echo == "" {
			break
		}
		if err := out.send(chunk(chatRole{Index: j, Delta: roleDelta{Content: c.echo}}, 0)); err != nil {
			return err
		}
	}
	return nil
}
