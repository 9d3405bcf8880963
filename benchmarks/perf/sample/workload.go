package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/justrl/justrl/sampler"
)

// vocab is Qwen2.5's.
const vocab = 151936

var prompt = func() []int32 {
	ids := make([]int32, 200)
	for i := range ids {
		ids[i] = int32(i * 701 % vocab)
	}
	return ids
}()

func request(n, tokens int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: prompt, Seed: 1, Count: n,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: tokens, Logprobs: true},
	}
}

// words are what an answer's tokens stand for.
var words = []string{" the", " of", "\n\n", " \\", "frac", "{", "}", " x", " =", " +", "1", "2", "0", " so", " we", " compute", "²", "\"", " Therefore", ".", ",", " sum", "<b>", "�"}

// answer is a reply as vLLM 0.32 writes it to /v1/completions with logprobs 0
// and return_token_ids: a log-prob has the digits of the float64 that equals
// the float32, and stands there twice.
func answer(n, tokens int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	spelled := make([]string, len(words))
	for i, w := range words {
		spelled[i] = quoted(w)
	}
	echo, _ := json.Marshal(prompt) // numbers
	var b bytes.Buffer
	b.WriteString(`{"id":"cmpl-837844d64ce34c6d","object":"text_completion","created":1795438822,"model":"tiny","choices":[`)
	for j := range n {
		var text strings.Builder
		var offsets, logprobs, toks, tops, ids bytes.Buffer
		for i := range tokens {
			if i > 0 {
				for _, list := range []*bytes.Buffer{&offsets, &logprobs, &toks, &tops, &ids} {
					list.WriteByte(',')
				}
			}
			w := random.IntN(len(words))
			lp := float64(float32(-random.ExpFloat64() * random.ExpFloat64() * 0.5)) // half of them nearly certain
			digits := strconv.FormatFloat(lp, 'g', -1, 64)
			offsets.WriteString(strconv.Itoa(text.Len()))
			logprobs.WriteString(digits)
			toks.WriteString(spelled[w])
			fmt.Fprintf(&tops, "{%s:%s}", spelled[w], digits)
			ids.WriteString(strconv.Itoa(random.IntN(vocab)))
			text.WriteString(words[w])
		}
		if j > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"index":%d,"text":%s,"logprobs":{"text_offset":[%s],"token_logprobs":[%s],"tokens":[%s],"top_logprobs":[%s]},"finish_reason":"length","stop_reason":null,"token_ids":[%s],"prompt_logprobs":null,"prompt_token_ids":%s,"routed_experts":null}`,
			j, quoted(text.String()), &offsets, &logprobs, &toks, &tops, &ids, echo)
	}
	fmt.Fprintf(&b, `],"service_tier":null,"system_fingerprint":"vllm-0.32.0-b7ae4f9e","usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d},"kv_transfer_params":null,"metrics":null}`,
		len(prompt), len(prompt)+n*tokens, n*tokens)
	return b.Bytes()
}

// quoted is a string of JSON without HTML's escapes, as Python's are.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string
	return strings.TrimSpace(b.String())
}
