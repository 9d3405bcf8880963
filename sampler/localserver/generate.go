package localserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// generate is a request of /inference/v1/generate: ids in, ids out.
type generate struct {
	generation
	logprobs bool
	versions [][]span // by sample; the engine's goroutine writes them
}

// span is the tokens that one version of the weights made.
type span struct {
	Version string `json:"version"`
	Start   int    `json:"start"`
	End     int    `json:"end"`
}

type generateReply struct {
	RequestID             string             `json:"request_id"`
	Model                 string             `json:"model"`
	Created               int64              `json:"created"`
	Usage                 usage              `json:"usage"`
	PromptLogprobs        []*pairs[position] `json:"prompt_logprobs"`
	PromptTokenIDLogprobs *string            `json:"prompt_token_id_logprobs"`
	PromptTokenIDs        []int32            `json:"prompt_token_ids"`
	MMPlaceholders        *string            `json:"mm_placeholders"`
	Metrics               *string            `json:"metrics"`
	KVTransferParams      *string            `json:"kv_transfer_params"`
	ECTransferParams      *string            `json:"ec_transfer_params"`
	OutputMode            string             `json:"output_mode"`
	Choices               []generateChoice   `json:"choices"`
}

type generateChoice struct {
	Index          int         `json:"index"`
	FinishReason   *string     `json:"finish_reason"`
	StopReason     any         `json:"stop_reason"`
	TokenIDs       []int32     `json:"token_ids"`
	RoutedExperts  *string     `json:"routed_experts"`
	SamplingMask   *string     `json:"sampling_mask"`
	WeightVersions []span      `json:"weight_versions"`
	Logprobs       *idLogprobs `json:"logprobs"`
}

type generateEvent struct {
	RequestID  string           `json:"request_id"`
	Usage      any              `json:"usage"`
	OutputMode string           `json:"output_mode"`
	Choices    []generateChoice `json:"choices"`
}

// parseGenerate reads and checks a body. Of generation_config.json only the
// number of tokens applies here, as in vLLM.
func (s *Server) parseGenerate(f *form, id string) (c *generate, bad, late *refusal) {
	if raw, ok := f.fields["token_ids"]; !ok {
		f.problems.add("missing", f.loc("token_ids"), "Field required", f.whole(), "")
	} else if kindOf(raw) == kindList && length(raw) == 0 {
		f.problems.add("too_short", f.loc("token_ids"), "List should have at least 1 item after validation, not 0", raw,
			"'field_type': 'List', 'min_length': 1, 'actual_length': 0")
	}
	if mode := f.text("output_mode", false); mode != nil && *mode != "tokens" {
		return nil, invalid("output_mode", "this server has only output_mode tokens (parameter=output_mode)"), nil
	}
	fields, ok := f.object("sampling_params")
	if !ok && f.problems.n == 0 {
		f.problems.add("missing", f.loc("sampling_params"), "Field required", f.whole(), "")
	}
	for _, name := range []string{"stream", "stream_options", "cache_salt"} {
		if raw, ok := f.fields[name]; ok && fields != nil {
			fields[name] = raw
		}
	}
	inner := &form{fields: fields, at: f.loc("sampling_params"), problems: f.problems}
	if bad := inner.early(false); bad != nil && f.problems.n == 0 {
		return nil, bad, nil
	}
	ids := f.ids("token_ids")
	for _, id := range ids {
		if id < 0 {
			f.problems.add("value_error", f.loc("token_ids"), "Value error, token_ids must not contain negative values", f.fields["token_ids"],
				"'error': ValueError('token_ids must not contain negative values')")
			break
		}
	}
	model := f.text("model", true)
	inner.problems = &problems{}
	p := inner.params()
	p.n = deref(inner.integer("n", true), 1)
	p.logprobs, p.returnIDs = inner.integer("logprobs", true), f.flag("return_token_ids", true, false)
	if wrong := inner.problems; wrong.n > 0 {
		f.problems.add("is_instance_of", inner.at, "Input should be an instance of SamplingParams", f.fields["sampling_params"], "'class': 'SamplingParams'")
		f.problems.n, f.problems.first = f.problems.n+wrong.n, append(f.problems.first, wrong.first...)
	}
	id = requestID(id, f)
	if bad := f.problems.refusal(); bad != nil {
		return nil, bad, nil
	}
	if bad := s.checkModel(model); bad != nil {
		return nil, bad, nil
	}
	if len(ids) > s.model.MaxLen {
		return nil, invalid("", fmt.Sprintf("The decoder prompt (length %d) is longer than the maximum model length of %d. Make sure that `max_model_len` is no smaller than the number of text tokens.", len(ids), s.model.MaxLen)), nil
	}
	one := prompt{ids: make([]int32, len(ids))}
	for i, id := range ids {
		one.ids[i] = int32(max(0, small(id)))
	}
	c = &generate{logprobs: p.logprobs != nil}
	c.generation = generation{s: s, id: "generate-tokens-" + id, created: time.Now().Unix(), params: p, prompts: []prompt{one}}
	bad, late = c.prepare(p, deref(s.o.Defaults.MaxTokens, int64(s.model.MaxLen)))
	c.subIDs = []string{c.id}
	if bad == nil && late == nil {
		c.versions = make([][]span, c.request.N)
		c.onToken = c.note
	}
	return c, bad, late
}

// note records which version of the weights made the next token of a sample.
func (c *generate) note(j int) {
	version, spans, at := c.s.weightVersion(), c.versions[j], 0
	if n := len(spans); n > 0 {
		at = spans[n-1].End
		if spans[n-1].Version == version {
			spans[n-1].End++
			return
		}
	}
	c.versions[j] = append(spans, span{version, at, at + 1})
}

// choice is news of sample j; finish "" is that it goes on.
func (c *generate) choice(j int, tokens []Token, finish string, stop any) generateChoice {
	choice := generateChoice{Index: j, FinishReason: orNull(finish), StopReason: stop, TokenIDs: idsOf(tokens)}
	if finish != "" {
		choice.WeightVersions = append([]span{}, c.versions[j]...)
	}
	if c.logprobs {
		choice.Logprobs = newIDLogprobs(tokens)
	}
	return choice
}

func (c *generate) answer(w http.ResponseWriter, r *http.Request) {
	results, err := c.run(r.Context())
	if err != nil {
		asRefusal(err).write(w)
		return
	}
	res := results[0]
	reply := generateReply{
		RequestID: c.id, Model: c.s.o.Models[0], Created: c.created, Usage: count(c.prompts, results), OutputMode: "tokens",
		Choices: []generateChoice{},
	}
	if !finite(res.scores) {
		notJSON.write(w)
		return
	}
	if c.params.promptLogprobs != nil {
		reply.PromptLogprobs = promptLogprobs(c.s.o.Tokenizer, res.scores)
	}
	if c.params.returnIDs {
		reply.PromptTokenIDs = c.prompts[0].ids
	}
	for j, a := range res.samples {
		reply.Choices = append(reply.Choices, c.choice(j, a.tokens, a.finish, a.stop))
	}
	writeJSON(w, reply)
}

func (c *generate) stream(w http.ResponseWriter, r *http.Request, late *refusal) {
	out := newStream(w)
	defer out.done()
	if late != nil {
		out.fail(late)
		return
	}
	results, err := c.follow(r.Context(), out, func(e event) error {
		return out.send(generateEvent{c.id, nil, "tokens", []generateChoice{c.choice(e.sample, e.tokens, e.finish, e.stop)}})
	})
	switch {
	case err != nil && !errors.Is(err, notJSON):
		out.fail(asRefusal(err))
	case err == nil && c.params.usage:
		_ = out.send(generateEvent{c.id, count(c.prompts, results).short(), "tokens", []generateChoice{}})
	}
}
