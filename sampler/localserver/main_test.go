package localserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	http.DefaultClient.Transport = &http.Transport{DisableKeepAlives: true} // an idle connection would count as a leak
	goleak.VerifyTestMain(m)
}

const (
	toyVocab = 300
	toyLen   = 128
	toyEOS   = 2
)

// toy is an engine that does what a test says; what it does not say is the
// least that works: sample j is j+4 letters.
type toy struct {
	generate func(ctx context.Context, r Request) ([]Sample, error)
	score    func(ctx context.Context, ids []int32, top int) ([]Token, error)
	load     func(dir string) error
	freeze   func(on bool)
}

func (e *toy) Model() Model {
	return Model{Vocab: toyVocab, MaxLen: toyLen, EOS: []int32{toyEOS, toyEOS - 1}}
}

func (e *toy) Generate(ctx context.Context, r Request) ([]Sample, error) {
	if e.generate != nil {
		return e.generate(ctx, r)
	}
	out := make([]Sample, r.N)
	for j := range out {
		out[j] = tell(r, j, "abcdefghij"[:min(10, j+4)])
	}
	return out, nil
}

// tell makes a sample of a text's bytes and tells its tokens, as an engine does.
func tell(r Request, j int, text string) Sample {
	s := Sample{Finish: "length", StopToken: -1}
	for i := range min(len(text), r.MaxTokens) {
		t := Token{ID: int32(text[i]) + 3, Logprob: -0.5, Rank: 1}
		s.Tokens = append(s.Tokens, t)
		if r.OnToken != nil && r.OnToken(j, t) {
			s.Finish = "stop"
			break
		}
	}
	return s
}

func (e *toy) Score(ctx context.Context, ids []int32, top int) ([]Token, error) {
	if e.score != nil {
		return e.score(ctx, ids, top)
	}
	var out []Token
	for _, id := range ids[1:] {
		out = append(out, Token{ID: id, Logprob: -1, Rank: 2})
	}
	return out, nil
}

func (e *toy) Freeze(on bool) {
	if e.freeze != nil {
		e.freeze(on)
	}
}

func (e *toy) Load(_ context.Context, dir string) error {
	if e.load != nil {
		return e.load(dir)
	}
	return nil
}

func (e *toy) Checksums(context.Context) (map[string]string, error) {
	return map[string]string{"a": "00", "b": "11"}, nil
}

func (e *toy) ResetCache() {}

func (e *toy) Stats() Stats {
	return Stats{Running: 3, Waiting: 4, KVUsage: 0.5, PromptTokens: 5, GeneratedTokens: 6, CacheQueries: 7, CacheHits: 8, Preemptions: 9}
}

// byteTokens is a token a byte, from id 3 on; 0 to 2 are special.
type byteTokens struct{ encoded *int } // bytes given to Encode

func (b byteTokens) Encode(text string) []int32 {
	if b.encoded != nil {
		*b.encoded += len(text)
	}
	ids := make([]int32, len(text))
	for i := range ids {
		ids[i] = int32(text[i]) + 3
	}
	return ids
}

func (byteTokens) Decode(ids []int32, skipSpecial bool) string {
	var b []byte
	for _, id := range ids {
		switch {
		case id >= 3 && id < 259:
			b = append(b, byte(id-3))
		case id >= 0 && id < 3 && !skipSpecial:
			b = fmt.Appendf(b, "<%d>", id)
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func (b byteTokens) Strings(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = b.Decode([]int32{id}, false)
	}
	return out
}

func (byteTokens) MaxTokenChars() int { return 3 }

func (byteTokens) Render(messages []Message, begin bool, variables map[string]any) (string, error) {
	var b strings.Builder
	for _, m := range messages {
		if m.Role == "panic" {
			panic("the template panics")
		}
		fmt.Fprintf(&b, "%s: %s\n", m.Role, m.Content)
	}
	if style, ok := variables["style"]; ok {
		fmt.Fprintf(&b, "[%v]", style)
	}
	if begin {
		b.WriteString("assistant: ")
	}
	return b.String(), nil
}

// toyServer is a server over e, changed by change.
func toyServer(t testing.TB, e *toy, change func(*Options)) *Server {
	t.Helper()
	o := Options{Engine: e, Tokenizer: byteTokens{}, Models: []string{"toy", "alias"}, Root: "/weights", DevMode: true, Seed: func() int64 { return 0 }}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask posts a body in-process and gives status and answer.
func ask(s http.Handler, path, body string) (int, string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// post posts a body over HTTP.
func post(ctx context.Context, url, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
