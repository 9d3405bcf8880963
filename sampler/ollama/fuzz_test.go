package ollama

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/ollamatest"
)

func parse(t testing.TB, reply string) *api.GenerateResponse {
	t.Helper()
	var out api.GenerateResponse
	if err := json.Unmarshal([]byte(reply), &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// FuzzTokens: whatever a server answers is refused, or gives as many tokens as it
// counted, whose text is the answer's.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{
		`{"response":"xab","done_reason":"length","eval_count":3,"logprobs":[{"token":"x"},{"token":"a"},{"token":"b"}]}`,
		`{"response":"aß","done_reason":"stop","eval_count":4,"logprobs":[{"token":"a"},{"token":"\ufffd"},{"token":"\ufffd"}]}`,
		`{"response":"x[PAD263]","done_reason":"length","eval_count":2,"logprobs":[{"token":"x"},{"token":"[PAD263]"}]}`,
		`{"response":"","done_reason":"stop","eval_count":-3}`, `{"response":"\ud800","done_reason":"stop","eval_count":2}`,
	} {
		f.Add([]byte(s))
	}
	g := &Generator{o: settings(), pieces: pieces(ollamatest.Plain{}, ollamatest.PlainVocab)}
	f.Fuzz(func(t *testing.T, b []byte) {
		var reply api.GenerateResponse
		if json.Unmarshal(b, &reply) != nil {
			return
		}
		got, err := g.tokens(&reply)
		if err != nil {
			return
		}
		if len(got.ids) != reply.EvalCount {
			t.Fatalf("%d tokens, the server counted %d", len(got.ids), reply.EvalCount)
		}
		ids := got.ids
		if reply.DoneReason == "stop" {
			ids = ids[:len(ids)-1]
		}
		text := ""
		for _, id := range ids {
			text += ollamatest.Plain{}.Bytes(id)
		}
		if utf8.ValidString(reply.Response) && text != reply.Response {
			t.Errorf("%v are the tokens of %q, the answer is %q", ids, text, reply.Response)
		}
	})
}
