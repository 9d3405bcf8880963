package vllm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

func TestScoreIsThePolicys(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, _, s := open(t, fake.URL, vllm.Options{Vocab: 512})
	seqs := [][]int32{{1, 20}, {7, 7, 7, 7}, slices.Repeat([]int32{3, 511, 0}, 40)}
	got, err := s.Score(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range seqs {
		if diff := cmp.Diff(fake.Policy().Logprobs(seq), got[i]); diff != "" {
			t.Errorf("sequence %d (-policy +scored)\n%s", i, diff)
		}
	}
	if got, err := s.Score(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no sequences: %v, %v", got, err)
	}
}

// TestScoreSeesThroughAStaleCache: rollouts of a server whose prefix cache
// survived a reload are of neither policy, scores are of the new one.
func TestScoreSeesThroughAStaleCache(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{KeepOldCache: true, Step: 1})
	e, g, s := open(t, fake.URL, vllm.Options{})
	r := request(1, 3)
	r.PromptTokenIDs = slices.Repeat([]int32{1, 20, 21, 22}, 8) // two blocks
	if _, err := g.Generate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	load := map[string]any{"method": "reload_weights", "kwargs": map[string]string{"weights_path": dir}}
	for _, c := range []struct {
		path string
		in   any
	}{{"/pause", nil}, {"/collective_rpc", load}, {"/reset_prefix_cache", nil}, {"/resume", nil}} {
		if err := e.Do(t.Context(), http.MethodPost, c.path, c.in, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := g.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	seq := slices.Concat(r.PromptTokenIDs, got[0].TokenIDs)
	want := fake.Policy().Logprobs(seq)
	scored, err := s.Score(t.Context(), [][]int32{seq})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, scored[0]); diff != "" {
		t.Errorf("scores are not of the new weights (-policy +scored)\n%s", diff)
	}
	if slices.Equal(got[0].Logprobs, want[len(r.PromptTokenIDs)-1:]) {
		t.Error("the rollout is of the new weights: the fake's stale cache has no effect")
	}
}

func TestScoreRefuses(t *testing.T) {
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	for _, c := range []struct{ name, body, want string }{
		{"no choices", `{"choices":[]}`, "0 choices"},
		{"no prompt_logprobs", `{"choices":[{"index":0}]}`, "no prompt_logprobs"},
		{"too few positions", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}}]}]}`, "2 positions for 3 tokens"},
		{"another token", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}},{"7":{"logprob":-1}}]}]}`, "prompt_logprobs[2] lacks token 6"},
		{"null instead of a position", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}},null]}]}`, "lacks token 6"},
		{"null instead of a number", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}},{"6":{"logprob":null}}]}]}`, "lacks token 6"},
		{"a probability over one", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}},{"6":{"logprob":1.5}}]}]}`, "prompt_logprobs[2] is 1.5"},
		{"vLLM's mark for minus infinity", `{"choices":[{"prompt_logprobs":[null,{"5":{"logprob":-1}},{"6":{"logprob":-9999}}]}]}`, "prompt_logprobs[2] is -9999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(answer(c.body))
			defer srv.Close()
			_, _, s := open(t, srv.URL, vllm.Options{})
			_, err := s.Score(t.Context(), [][]int32{{4, 5, 6}})
			var bad *endpoint.ReplyError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a ReplyError with %q", err, c.want)
			}
		})
	}
	_, _, s := open(t, "http://127.0.0.1:1", vllm.Options{})
	if _, err := s.Score(t.Context(), [][]int32{{4, 5}, {4}}); err == nil {
		t.Error("a sequence of one token was accepted")
	}
}

func TestScoreEndsOfTheContext(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, _, s := open(t, fake.URL, vllm.Options{})
	long := slices.Repeat([]int32{7}, 512)
	if got, err := s.Score(t.Context(), [][]int32{long[:511]}); err != nil || len(got[0]) != 510 {
		t.Errorf("a token shorter than the context: %v", err)
	}
	_, err := s.Score(t.Context(), [][]int32{long[:2], long})
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusBadRequest || !strings.Contains(err.Error(), "score sequence 1") {
		t.Errorf("as long as the context: %v, want a 400 that names the sequence", err)
	}
}

func TestScoreRetriesAndCancels(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, _, s := open(t, fake.URL, vllm.Options{})
	want, err := s.Score(t.Context(), [][]int32{{1, 20, 21}})
	if err != nil {
		t.Fatal(err)
	}
	fake.Inject(openaitest.Fault{Times: 2})
	got, err := s.Score(t.Context(), [][]int32{{1, 20, 21}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after two failures (-undisturbed +got)\n%s", diff)
	}
	before := len(fake.Requests(""))
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if got, err := s.Score(ctx, [][]int32{{1, 20}}); !errors.Is(err, enough) || got != nil {
		t.Errorf("with an ended context: %v, %v", got, err)
	}
	if n := len(fake.Requests("")); n != before {
		t.Errorf("%d requests were sent", n-before)
	}
}
