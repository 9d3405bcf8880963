package ollama

import (
	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/splitmix"
	"github.com/justrl/justrl/sampler"
)

// seed is that of a sample's try, from 0: 31 bits, of which every bit of base and try
// decides over all. Ollama passes seeds through a float and cuts them to 32 bits, so
// that neighbours of the 52-bit seeds of rows would become one, and takes the greatest
// 32-bit seed for none at all.
func seed(base int64, try int) int64 {
	h := splitmix.Mix(uint64(base))
	if try > 0 {
		h = splitmix.Mix(h ^ uint64(try))
	}
	return int64(h >> 33)
}

// options are all that decide over the sampled distribution, every one of them given:
// what a request leaves out, Ollama takes from the model's Modelfile, then from defaults
// that truncate (top_k 40, top_p 0.9).
func options(p sampler.Params, context, maxTokens int, seed int64) map[string]any {
	return map[string]any{
		"seed": seed, "temperature": p.Temperature, "top_p": p.TopP, "top_k": p.TopK, "min_p": p.MinP, "typical_p": 1,
		"repeat_penalty": 1, "repeat_last_n": 0, "presence_penalty": 0, "frequency_penalty": 0,
		"num_predict": maxTokens, "num_ctx": context, "stop": []string{},
	}
}

// request is that for one sample. Log-probs are asked for because of the pieces of
// text that come with them.
func (g *Generator) request(r sampler.Request, prompt string, seed int64, top int) *api.GenerateRequest {
	room := min(r.Params.MaxTokens, g.o.Context-len(r.PromptTokenIDs))
	return raw(g.o.Model, prompt, options(r.Params, g.o.Context, room, seed), top)
}

// raw is a request whose prompt the server takes as it is: not templated, not cut, not
// shifted when the context is full, its answer not searched for thoughts.
func raw(model, prompt string, options map[string]any, top int) *api.GenerateRequest {
	no := false
	return &api.GenerateRequest{
		Model: model, Prompt: prompt, Raw: true, Stream: &no, Truncate: &no, Shift: &no,
		Think: &api.ThinkValue{Value: false}, Logprobs: true, TopLogprobs: top, Options: options,
	}
}
