package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler"
)

// TestBytes: what decides over the distribution reaches the wire, zeros included.
func TestBytes(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	g := open(t, server.URL, func(o *Options) { o.Context = 64 })
	r := request(1, 5)
	r.Params.Temperature, r.Params.MinP = 0, 0
	if _, err := g.Generate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	bodies := server.Bodies()
	want := `{"model":"tiny","prompt":"what is 1+1? ","suffix":"","system":"","template":"","stream":false,"raw":true,` +
		`"options":{"frequency_penalty":0,"min_p":0,"num_ctx":64,"num_predict":5,"presence_penalty":0,"repeat_last_n":0,"repeat_penalty":1,` +
		`"seed":1863796577,"stop":[],"temperature":0,"top_k":-1,"top_p":1,"typical_p":1},"think":false,"truncate":false,"shift":false,"logprobs":true}`
	if len(bodies) == 0 || bodies[0] != want {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(bodies, "\n"), want)
	}
}

// Seeds of 31 bits, of which neighbours and tries share nothing.
func TestSeed(t *testing.T) {
	seen := map[int64]bool{}
	for _, base := range []int64{0, 1, 2, 1 << 51, 1<<51 + 1, 1<<52 - 1} {
		for try := range 8 {
			s := seed(base, try)
			if s < 0 || s >= 1<<31 || seen[s] {
				t.Errorf("seed(%d, %d) = %d: out of range, or there before", base, try, s)
			}
			seen[s] = true
		}
	}
}

func TestSamplesAreSeeded(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	g := open(t, server.URL, nil)
	if _, err := g.Generate(t.Context(), request(4, 6)); err != nil {
		t.Fatal(err)
	}
	seeds := map[float64]bool{}
	for _, b := range server.Bodies() {
		var sent struct{ Options map[string]any }
		if err := json.Unmarshal([]byte(b), &sent); err != nil {
			t.Fatal(err)
		}
		seeds[sent.Options["seed"].(float64)] = true
	}
	for j := range int64(4) {
		if !seeds[float64(seed(1<<51+12345+j, 0))] {
			t.Errorf("sample %d was not asked for under its seed", j)
		}
	}
}

// TestTokens: ids are those that were sampled, or none.
func TestTokens(t *testing.T) {
	g := open(t, "http://127.0.0.1:1", nil)
	for _, c := range []struct {
		name, reply string
		want        []int32
		canonical   bool
		fails       string
	}{
		{"as encoded", `{"response":"xab","done_reason":"length","eval_count":2,"logprobs":[{"token":"x"},{"token":"ab"}]}`, []int32{'x', 258}, true, ""},
		{"an end token", `{"response":"x","done_reason":"stop","eval_count":2,"logprobs":[{"token":"x"}]}`, []int32{'x', ollamatest.End}, true, ""},
		{"nothing but the end", `{"response":"","done_reason":"stop","eval_count":1}`, []int32{ollamatest.End}, true, ""},
		{"not as encoded: the pieces tell", `{"response":"xab","done_reason":"length","eval_count":3,"logprobs":[{"token":"x"},{"token":"a"},{"token":"b"}]}`, []int32{'x', 'a', 'b'}, false, ""},
		{"not as encoded, without pieces", `{"response":"xab","done_reason":"length","eval_count":3}`, nil, false, "the text has 2 tokens, the server counted 3"},
		{"a row that no token has", `{"response":"x[PAD263]","done_reason":"length","eval_count":2,"logprobs":[{"token":"x"},{"token":"[PAD263]"}]}`, []int32{'x', 263}, false, ""},
		{"halves of a character that is no token, in their places", `{"response":"aß","done_reason":"length","eval_count":3,"logprobs":[{"token":"a"},{"token":"\ufffd"},{"token":"\ufffd"}]}`, []int32{'a', 0xc3, 0x9f}, true, ""},
		{"halves of a character that is a token", `{"response":"é","done_reason":"length","eval_count":2,"logprobs":[{"token":"\ufffd"},{"token":"\ufffd"}]}`, nil, false, "the text has 1 tokens"},
		{"the last half was dropped", `{"response":"a","done_reason":"length","eval_count":2,"logprobs":[{"token":"a"},{"token":"\ufffd"}]}`, nil, false, "the text has 1 tokens"},
		{"pieces of another text", `{"response":"ab","done_reason":"length","eval_count":1,"logprobs":[{"token":"x"}]}`, nil, false, "are not those"},
		{"pieces without their text", `{"response":"","done_reason":"length","eval_count":1}`, nil, false, "the text has 0 tokens, the server counted 1"},
		{"counted nothing", `{"response":"","done_reason":"length"}`, nil, false, "no token"},
		{"counted less than nothing", `{"response":"","done_reason":"stop"}`, nil, false, "the server counted -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := g.tokens(parse(t, c.reply))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%v, %v; want an error with %q", got, err, c.fails)
				}
				return
			}
			if err != nil || !slices.Equal(got.ids, c.want) || got.canonical != c.canonical {
				t.Errorf("%v, %v; want %v, canonical %v", got, err, c.want, c.canonical)
			}
		})
	}
}

// TestAskedAgain: an answer whose tokens cannot be told is asked for under the next seed, and counted.
func TestAskedAgain(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	g := open(t, server.URL, func(o *Options) { o.Tries = 4 })
	want, err := g.Generate(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	before := g.Stats()
	server.Set(ollamatest.Faults{Drop: 1})
	server.Bodies()
	got, err := g.Generate(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	after, asked := g.Stats(), server.Bodies()
	if after.Mismatched-before.Mismatched != 1 || len(asked) != 2 || asked[0] == asked[1] {
		t.Errorf("%+v, then %+v; asked %d times", before, after, len(asked))
	}
	if cmp.Equal(want, got) {
		t.Error("the second seed gave what the first did: the fault was not met")
	}
	server.Set(ollamatest.Faults{Drop: 1000})
	_, err = g.Generate(t.Context(), request(1, 8))
	var bad *endpoint.ReplyError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "sample 0") || !strings.Contains(err.Error(), "of 4 answers under 4 seeds none can be tokenized") {
		t.Errorf("error %v", err)
	}
}

// TestUncanonical: answers that were sampled as other tokens than their text's are kept, with these tokens.
func TestUncanonical(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	g := open(t, server.URL, func(o *Options) { o.Tries = 100 })
	r := request(64, 40)
	out, err := g.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	other := int64(0)
	for _, ro := range out {
		ids := ro.TokenIDs
		if ro.FinishReason == sampler.FinishStop {
			ids = ids[:len(ids)-1]
		}
		if !slices.Equal(ids, ollamatest.Plain{}.Encode(ollamatest.Plain{}.Decode(ids, false))) {
			other++
		}
	}
	s := g.Stats()
	if other == 0 || s.Uncanonical != other || s.Answers != 64+s.Mismatched {
		t.Errorf("%d of 64 answers are not as encoded, counted %+v", other, s)
	}
}

func TestBeginToken(t *testing.T) {
	begun := func() sampler.Request {
		r := request(3, 4)
		r.PromptTokenIDs = append([]int32{ollamatest.Begin}, r.PromptTokenIDs...)
		return r
	}
	server := fake(t, ollamatest.Options{})
	want, err := open(t, server.URL, nil).Generate(t.Context(), begun())
	if err != nil {
		t.Fatal(err)
	}
	server.Set(ollamatest.Faults{Begins: true})
	got, err := open(t, server.URL, nil).Generate(t.Context(), begun())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with the begin token left to the server (-want +got):\n%s", diff)
	}
	if _, err = open(t, server.URL, nil).Generate(t.Context(), request(1, 4)); err == nil || !strings.Contains(err.Error(), "puts a token before prompts") {
		t.Errorf("a prompt without it: %v", err)
	}
	server.Set(ollamatest.Faults{ExtraToken: true})
	server.Bodies()
	if _, err = open(t, server.URL, nil).Generate(t.Context(), request(1, 4)); err == nil || !strings.Contains(err.Error(), "puts a token before prompts") {
		t.Errorf("another token before it: %v", err)
	}
}

func TestGenerateRefuses(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	for name, c := range map[string]struct {
		prompt []int32
		want   string
	}{
		"a prompt that text does not say": {[]int32{'a', 'b'}, "takes nothing but text"},
		"half a character":                {[]int32{0xc3}, "takes nothing but text"},
		"a row that no token has":         {[]int32{'a', 263}, "takes nothing but text"},
		"outside the vocabulary":          {[]int32{264}, "outside the vocabulary of 264"},
		"no room":                         {make([]int32, 512), "leaves no room in a context of 512"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(1, 4)
			r.PromptTokenIDs = c.prompt
			if _, err := open(t, server.URL, nil).Generate(t.Context(), r); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if n := len(server.Bodies()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestRetries(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	want, err := open(t, server.URL, nil).Generate(t.Context(), request(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]ollamatest.Faults{"a cut connection": {Cut: 2}, "busy": {Busy: 2}} {
		t.Run(name, func(t *testing.T) {
			server.Set(f)
			got, err := open(t, server.URL, nil).Generate(t.Context(), request(1, 4))
			if err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("%v, %s", err, cmp.Diff(want, got))
			}
		})
	}
	server.Set(ollamatest.Faults{Busy: 100})
	_, err = open(t, server.URL, nil).Generate(t.Context(), request(1, 4))
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.Status != 503 || strings.Count(err.Error(), "/api/generate") != 1 {
		t.Errorf("error %v, want the 503 with its URL once", err)
	}
	_, err = open(t, server.URL, func(o *Options) { o.Model = "other" }).Generate(t.Context(), request(1, 4))
	if !errors.As(err, &status) || status.Status != 404 || !strings.Contains(err.Error(), "model 'other:latest' not found") {
		t.Errorf("error %v, want the 404", err)
	}
}

// TestConcurrency: no more requests at a time than allowed, over all calls.
func TestConcurrency(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	g := open(t, server.URL, func(o *Options) { o.Concurrency = 1 })
	g.slots <- struct{}{} // taken
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	done := make(chan error)
	go func() {
		_, err := g.Generate(ctx, request(3, 4))
		done <- err
	}()
	cancel(enough)
	if err := <-done; !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := len(server.Bodies()); n != 0 {
		t.Errorf("%d requests went past the bound", n)
	}
	<-g.slots
	if _, err := g.Generate(t.Context(), request(3, 4)); err != nil {
		t.Error(err)
	}
}
