package localserver

import (
	"math"
	"testing"
)

// FuzzRequests gives bodies to every route's decoder: it must refuse them or
// make a request that keeps what Request promises.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		`{"model":"toy","prompt":[1,20,21],"n":2,"max_tokens":3,"temperature":0.5,"top_p":0.9,"top_k":5,"min_p":0.1,"seed":7,"logprobs":1}`,
		`{"prompt":"abc","stop":["x"],"stop_token_ids":[5],"logit_bias":{"5":1.5},"allowed_token_ids":[5,6],"min_tokens":2,"echo":true,"logprobs":0}`,
		`{"prompt":[[1],[2,3]],"stream":true,"stream_options":{"include_usage":true},"prompt_logprobs":null,"cache_salt":"s"}`,
		`{"prompt":["a","b"],"n":99999999999999999999,"temperature":NaN}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"}],"continue_final_message":true,"add_generation_prompt":false,"logprobs":true,"top_logprobs":2}`,
		`{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"style":[1,{"a":null}]},"max_completion_tokens":5}`,
		`{"token_ids":[1,2],"sampling_params":{"n":2,"logprobs":1,"temperature":"1"},"stream":true}`,
		`{"tokens":[1,2,3]}`, `{"prompt":{"a":[]}}`, `{"prompt":[1,[2],"x"]}`, `[]`, `{"prompt":"\ud800"}`,
		`{"prompt":"a","temperature":-0.0,"n":2}`, `{"prompt":[1],"repetition_penalty":1e-300,"top_k":-1,"seed":-9223372036854775808}`,
	} {
		f.Add([]byte(s))
	}
	s := toyServer(f, &toy{}, nil)
	check := func(t *testing.T, g *generation) {
		r := g.request
		for _, p := range g.prompts {
			room := s.model.MaxLen - len(p.ids)
			if len(p.ids) == 0 || room < 1 || min(r.MaxTokens, room) < r.MinTokens && r.MinTokens > r.MaxTokens {
				t.Errorf("a prompt of %d tokens with max_tokens %d, min_tokens %d", len(p.ids), r.MaxTokens, r.MinTokens)
			}
			for _, id := range p.ids {
				inVocabulary(t, id)
			}
		}
		for _, x := range []float64{r.Temperature, r.TopP, r.MinP, r.RepetitionPenalty, r.PresencePenalty, r.FrequencyPenalty} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("a parameter of %v: %+v", x, r)
			}
		}
		if r.N < 1 || r.N > s.o.MaxN || r.Temperature == 0 && r.N > 1 || r.Temperature < 0 || r.TopP <= 0 || r.TopP > 1 || r.MinP < 0 || r.MinP > 1 ||
			r.TopK == 0 || r.TopK < -1 || r.MaxTokens < 1 || r.MinTokens < 0 || r.RepetitionPenalty <= 0 || r.Top < 0 || r.Top > maxLogprobs {
			t.Errorf("a request of %+v", r)
		}
		for _, id := range append(append([]int32{}, r.StopTokenIDs...), r.Allowed...) {
			inVocabulary(t, id)
		}
		for id, x := range r.LogitBias {
			if inVocabulary(t, id); x < -100 || x > 100 || math.IsNaN(float64(x)) {
				t.Errorf("a bias of %v", x)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parse := func() *form {
			form, bad := parseForm(body)
			if (form == nil) == (bad == nil) {
				t.Fatalf("%q: a form is %v, a refusal %v", body, form, bad)
			}
			return form
		}
		if parse() == nil {
			return
		}
		if c, bad, late := s.parseCompletion(parse(), ""); bad == nil && late == nil {
			check(t, &c.generation)
		}
		if c, bad, late := s.parseChat(parse(), ""); bad == nil && late == nil {
			check(t, &c.generation)
		}
		if c, bad, late := s.parseGenerate(parse(), ""); bad == nil && late == nil {
			check(t, &c.generation)
		}
		_, _, _ = s.parseTokenize(parse())
		_, _ = s.parseDetokenize(parse())
	})
}

func inVocabulary(t *testing.T, id int32) {
	t.Helper()
	if id < 0 || id >= toyVocab {
		t.Errorf("the token %d", id)
	}
}
