package ollamatest

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ollama/ollama/api"
)

func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req api.GenerateRequest
	if err != nil || !read(w, &http.Request{Body: io.NopCloser(bytes.NewReader(body))}, &req) {
		return
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, string(body))
	name, m, ok := s.find(w, req.Model)
	f := s.faults
	if !ok {
		s.mu.Unlock()
		return
	}
	if req.Prompt == "" && req.KeepAlive != nil && req.KeepAlive.Duration == 0 {
		if !f.KeepWeights {
			delete(s.runners, name)
		}
		s.mu.Unlock()
		reply(w, 200, api.GenerateResponse{Model: req.Model, Done: true, DoneReason: "unload"})
		return
	}
	if f.Busy > 0 {
		s.faults.Busy--
		s.mu.Unlock()
		refuse(w, http.StatusServiceUnavailable, "server busy, please try again.  maximum pending requests exceeded")
		return
	}
	if running, has := s.runners[name]; f.KeepWeights && has {
		m = running
	}
	s.runners[name] = m
	if req.Prompt == "" {
		s.mu.Unlock()
		reply(w, 200, api.GenerateResponse{Model: req.Model, Done: true, DoneReason: "load"})
		return
	}
	if f.Cut > 0 {
		s.faults.Cut--
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	drop := f.Drop > 0
	if drop {
		s.faults.Drop--
	}
	s.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	s.answer(w, r, &req, m, f, drop)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, req *api.GenerateRequest, m stored, f Faults, drop bool) {
	o := settings(req.Options)
	ids := s.o.Tokenizer.Encode(req.Prompt)
	switch {
	case f.Begins:
		ids = append([]int32{s.o.Begin}, ids...)
	case f.ExtraToken:
		ids = append([]int32{ids[0]}, ids...)
	}
	limit := min(o.context, s.o.Context)
	if len(ids) > limit {
		refuse(w, http.StatusBadRequest, "the input length exceeds the context length")
		return
	}
	out := api.GenerateResponse{Model: req.Model, Done: true, DoneReason: "length"}
	out.PromptEvalCount = len(ids)
	rng := rand.New(rand.NewPCG(uint64(o.seed), 1))
	var sampled []byte
	for len(ids) <= limit && (o.predict < 0 || out.EvalCount < o.predict) {
		if r.Context().Err() != nil {
			return
		}
		lp := s.logprobs(m.weights, ids)
		id := draw(lp, o.temperature, rng)
		out.EvalCount++
		if id == s.o.End {
			out.DoneReason = "stop"
			break
		}
		if req.Logprobs && !f.NoPieces {
			out.Logprobs = append(out.Logprobs, s.shown(lp, id, req.TopLogprobs, o.temperature, f))
		}
		sampled = append(sampled, s.bytes(id)...)
		ids = append(ids, id)
	}
	// Ollama sends no ill-formed text: it drops what is behind the last whole character.
	for len(sampled) > 0 && !utf8.Valid(sampled) {
		sampled = sampled[:len(sampled)-1]
	}
	if drop && len(sampled) > 0 {
		sampled = sampled[1:]
		out.Logprobs = nil
	}
	if len(sampled) == 0 {
		out.Logprobs = nil
	}
	out.Response = string(sampled)
	reply(w, 200, out)
}

// bytes are a token's own, before they are made UTF-8.
func (s *Server) bytes(id int32) string {
	if b, ok := s.o.Tokenizer.(interface{ Bytes(int32) string }); ok {
		return b.Bytes(id)
	}
	return s.o.Tokenizer.Decode([]int32{id}, false)
}

func (s *Server) shown(lp []float64, id int32, top int, temperature float64, f Faults) api.Logprob {
	scale := 1.0
	if f.Processed && temperature > 0 {
		scale = 1 / temperature
	}
	entry := func(id int32) api.TokenLogprob {
		piece := strings.ToValidUTF8(s.bytes(id), "�")
		e := api.TokenLogprob{Token: piece, Logprob: scale*lp[id] + f.Noise*float64(id%2)}
		for _, b := range []byte(piece) {
			e.Bytes = append(e.Bytes, int(b))
		}
		return e
	}
	out := api.Logprob{TokenLogprob: entry(id)}
	if top == 0 {
		return out
	}
	order := make([]int32, len(lp))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case lp[a] > lp[b]:
			return -1
		case lp[a] < lp[b]:
			return 1
		}
		return 0
	})
	for _, id := range order[:min(top, len(order))] {
		out.TopLogprobs = append(out.TopLogprobs, entry(id))
	}
	return out
}

// logprobs are a hash of weights, the last four tokens and each next one.
func (s *Server) logprobs(weights string, ids []int32) []float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, weights) // a hash does not fail
	for _, id := range ids[max(0, len(ids)-4):] {
		_, _ = h.Write([]byte{byte(id), byte(id >> 8)})
	}
	rng := rand.New(rand.NewPCG(h.Sum64(), 7))
	out, sum := make([]float64, s.o.Vocab), 0.0
	for id := range out {
		out[id] = 6 * rng.Float64()
		if s.half[id] {
			out[id] -= 3 // the odd one shows what Ollama does with half a character
		}
		if int32(id) == s.o.Begin {
			out[id] = -30
		}
		sum += math.Exp(out[id])
	}
	for id := range out {
		out[id] -= math.Log(sum)
	}
	return out
}

func draw(lp []float64, temperature float64, rng *rand.Rand) int32 {
	best := int32(0)
	most := math.Inf(-1)
	for id, x := range lp {
		if temperature > 0 {
			x = x/temperature - math.Log(-math.Log(rng.Float64()))
		}
		if x > most {
			best, most = int32(id), x
		}
	}
	return best
}

type set struct {
	temperature      float64
	seed             int64
	predict, context int
}

// settings are what a request gives, Ollama's defaults elsewhere.
func settings(options map[string]any) set {
	number := func(key string, otherwise float64) float64 {
		if x, ok := options[key].(float64); ok {
			return x
		}
		return otherwise
	}
	return set{
		temperature: number("temperature", 0.8), seed: int64(uint32(int64(number("seed", float64(rand.Uint32()))))),
		predict: int(number("num_predict", -1)), context: int(number("num_ctx", 4096)),
	}
}

// Plain is a tokenizer for tests: a token a byte, then End and Begin, then some pairs,
// which its encoding prefers, so that a text can be sampled as other tokens than its own.
type Plain struct{}

// The ids of Plain beyond its bytes.
const (
	End        int32 = 256
	Begin      int32 = 257
	PlainVocab       = 264 // the last two are rows that no token has
)

var plainWords = []string{"<|end|>", "<|begin|>", "ab", "cd", "é", "the"}

// Bytes is the token's own.
func (Plain) Bytes(id int32) string {
	switch {
	case id < 0 || int(id) >= PlainVocab:
		return ""
	case id < 256:
		return string([]byte{byte(id)})
	case int(id)-256 < len(plainWords):
		return plainWords[id-256]
	}
	b, _ := json.Marshal(id) // a number
	return "[PAD" + string(b) + "]"
}

// Encode takes the longest word at each place.
func (p Plain) Encode(text string) []int32 {
	text = strings.ToValidUTF8(text, "�")
	var out []int32
next:
	for len(text) > 0 {
		for i, word := range plainWords {
			if strings.HasPrefix(text, word) {
				out, text = append(out, 256+int32(i)), text[len(word):]
				continue next
			}
		}
		out, text = append(out, int32(text[0])), text[1:]
	}
	return out
}

// Decode leaves out what no token has, as sampler/tokenizer does.
func (p Plain) Decode(ids []int32, skipSpecial bool) string {
	var out strings.Builder
	for _, id := range ids {
		if int(id)-256 >= len(plainWords) || skipSpecial && (id == End || id == Begin) {
			continue
		}
		out.WriteString(p.Bytes(id))
	}
	return strings.ToValidUTF8(out.String(), "�")
}
