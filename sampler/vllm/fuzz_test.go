package vllm

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/sampler"
)

// reply is what a real vLLM 0.32 answered to two samples of two tokens.
const reply = `{"id":"cmpl-1","object":"text_completion","created":1795438822,"model":"tiny","choices":[
{"index":0,"text":"� co","logprobs":{"text_offset":[0,0],"token_logprobs":[-4.639150142669678,-4.713037490844727],"tokens":[""," co"],"top_logprobs":[{"":-4.639},{" co":-4.713}]},"finish_reason":"length","stop_reason":null,"token_ids":[151,346],"prompt_logprobs":[null,{"20":{"logprob":-6.65,"rank":237,"decoded_token":"2"}}],"prompt_token_ids":[1,20],"routed_experts":null},
{"index":1,"text":"|","logprobs":{"text_offset":[0],"token_logprobs":[-5.1786956787109375],"tokens":["|"],"top_logprobs":[{"|":-5.17}]},"finish_reason":"stop","stop_reason":null,"token_ids":[2],"prompt_logprobs":[null,{"20":{"logprob":-6.65,"rank":237,"decoded_token":"2"}}],"prompt_token_ids":[1,20],"routed_experts":null}],
"usage":{"prompt_tokens":2,"total_tokens":5,"completion_tokens":3}}`

// FuzzReply: whatever a server answers is refused, or gives rollouts and
// scores that a training step can use.
func FuzzReply(f *testing.F) {
	f.Add([]byte(reply))
	for _, change := range [][2]string{
		{`"index":0`, `"index":1`}, {`"index":0`, `"index":-0`}, {`"index":0`, `"index":null`}, {`[151,346]`, `[151,512]`}, {`[151,346]`, `[151,346,1,1,1]`},
		{`[151,346]`, `[]`}, {`[151,346]`, `[1e2,2]`}, {`-4.713037490844727]`, `null]`}, {`-4.713037490844727]`, `NaN]`}, {`-4.713037490844727]`, `1e400]`},
		{`-4.713037490844727]`, `-9999.0]`}, {`-4.713037490844727]`, `0.1]`}, {`"length"`, `"abort"`}, {`"length"`, `null`}, {`[1,20]`, `[1,21]`},
		{`"logprob":-6.65`, `"logprob":null`}, {`"logprob":-6.65`, `"logprob":-1e300`}, {`{"20":`, `{"21":`}, {`� co`, `\ud800`}, {`� co`, "\xff"}, {`"choices":[`, `"choices":[{},`},
	} {
		f.Add([]byte(strings.Replace(reply, change[0], change[1], 1)))
	}
	g := &Generator{o: Options{Model: "tiny", Vocab: 512}}
	r := sampler.Request{
		PromptTokenIDs: []int32{1, 20}, Seed: 7, First: 3, Count: 2,
		Params: sampler.Params{N: 8, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 4, Logprobs: true},
	}
	read := func(b []byte) ([]sampler.Rollout, error) {
		var reply completionReply
		if err := reply.ReadBody(bytes.NewReader(b)); err != nil {
			return nil, err
		}
		return g.rollouts(r, &reply)
	}
	if rollouts, err := read([]byte(reply)); err != nil || len(rollouts) != 2 {
		f.Fatalf("a real reply is refused: %v", err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var scored scoreReply
		if json.Unmarshal(b, &scored) == nil {
			if scores, err := promptLogprobs(r.PromptTokenIDs, &scored); err == nil && (len(scores) != 1 || !possible(scores[0])) {
				t.Errorf("scores %v", scores)
			}
		}
		rollouts, err := read(b)
		if err != nil {
			if rollouts != nil || err.Error() == "" {
				t.Errorf("error %q with %d rollouts", err, len(rollouts))
			}
			return
		}
		if len(rollouts) != r.Count {
			t.Fatalf("%d rollouts, asked for %d", len(rollouts), r.Count)
		}
		for i, ro := range rollouts {
			if ro.Sample != r.First+i || ro.WeightsVersion != 0 || ro.Score != (sampler.Score{}) {
				t.Errorf("rollout %d is %+v", i, ro)
			}
			if ro.FinishReason != sampler.FinishAbort { // aborted ones are asked for again
				checkRollout(t, r, ro)
			}
		}
	})
}

func checkRollout(t *testing.T, r sampler.Request, ro sampler.Rollout) {
	if ro.FinishReason != sampler.FinishStop && ro.FinishReason != sampler.FinishLength {
		t.Errorf("finish reason %q", ro.FinishReason)
	}
	if !utf8.ValidString(ro.Text) {
		t.Errorf("text %q is not UTF-8", ro.Text)
	}
	if n := len(ro.TokenIDs); n == 0 || n > r.Params.MaxTokens || n != len(ro.Logprobs) {
		t.Errorf("%d tokens with %d log-probs, at most %d", n, len(ro.Logprobs), r.Params.MaxTokens)
	}
	for _, id := range ro.TokenIDs {
		if id < 0 || id >= 512 {
			t.Errorf("token %d", id)
		}
	}
	if i := slices.IndexFunc(ro.Logprobs, func(x float32) bool { return !possible(x) }); i >= 0 {
		t.Errorf("log-prob %v", ro.Logprobs[i])
	}
}

// possible tells whether x can be the log-prob of something that happened.
func possible(x float32) bool { return x <= 1e-3 && x > -9000 }

// TestRecordedReplies reads whole replies of a real vLLM, those that the fake is held to.
func TestRecordedReplies(t *testing.T) {
	b, err := os.ReadFile("../openaitest/testdata/vllm.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for line := range strings.Lines(string(b)) {
		var e struct{ Name, Path, Body, Reply string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Name != "every sampling parameter" && e.Name != "stopped by a token" {
			continue
		}
		read++
		var sent completion
		var got completionReply
		if err := json.Unmarshal([]byte(e.Body), &sent); err != nil {
			t.Fatal(err)
		}
		if err := got.ReadBody(strings.NewReader(e.Reply)); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		r := sampler.Request{PromptTokenIDs: sent.Prompt, Count: max(sent.N, 1), Params: sampler.Params{MaxTokens: sent.MaxTokens, Logprobs: true}}
		rollouts, err := (&Generator{o: Options{Vocab: 512}}).rollouts(r, &got)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		for _, ro := range rollouts {
			checkRollout(t, r, ro)
		}
	}
	if read != 2 {
		t.Errorf("%d of 2 recordings found", read)
	}
}
