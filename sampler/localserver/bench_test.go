package localserver

import (
	"context"
	"net/http"
	"testing"
)

// BenchmarkReply writes answers of 8 samples × 100 tokens with log-probs and
// ids, as training asks for them; ns/op divided by 800 is the cost of a token.
func BenchmarkReply(b *testing.B) {
	for name, extra := range map[string]string{"whole": "", "stream": `,"stream":true`} {
		b.Run(name, func(b *testing.B) {
			text := make([]byte, 100)
			for i := range text {
				text[i] = byte('a' + i%26)
			}
			s := toyServer(b, &toy{generate: func(_ context.Context, r Request) ([]Sample, error) {
				out := make([]Sample, r.N)
				for j := range out {
					out[j] = tell(r, j, string(text))
				}
				return out, nil
			}}, nil)
			b.ReportAllocs()
			for b.Loop() {
				if status, reply := ask(s, "/v1/completions", `{"prompt":[1,2],"n":8,"max_tokens":100,"logprobs":0,"return_token_ids":true`+extra+`}`); status != http.StatusOK {
					b.Fatal(status, reply)
				}
			}
		})
	}
}
