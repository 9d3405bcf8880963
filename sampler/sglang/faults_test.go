package sglang_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

type object = map[string]any

func meta(a object) object { m, _ := a["meta_info"].(object); return m }

func list(x any) []any { l, _ := x.([]any); return l }

// What a reply must not be, and in what words it is refused.
func TestRefusesReplies(t *testing.T) {
	lps := func(a object) []any { return list(meta(a)["output_token_logprobs"]) }
	for _, c := range []struct {
		name  string
		spoil func(answers []object) any
		want  string
	}{
		{"a missing answer", func(a []object) any { return a[1:] }, "1 answers, asked for 2"},
		{"an answer twice", func(a []object) any { return append(a, a[0]) }, "3 answers, asked for 2"},
		{"one answer and no list", func(a []object) any { return a[0] }, "not the JSON that was asked for"},
		{"no reason of an end", func(a []object) any { meta(a[0])["finish_reason"] = nil; return a }, "answer 0 (request 0000"},
		{"an unknown reason", func(a []object) any { meta(a[1])["finish_reason"] = object{"type": "tired"}; return a }, `finish_reason "tired" is none of stop, length, abort`},
		{"its own fault", func(a []object) any {
			meta(a[0])["finish_reason"] = object{"type": "abort", "message": "out of range", "status_code": 400}
			return a
		}, "refused with status 400: out of range"},
		{"no token ids", func(a []object) any {
			a[0]["output_ids"], meta(a[0])["output_token_logprobs"] = nil, nil
			return a
		}, "no output_ids"},
		{"fewer log-probs than tokens", func(a []object) any { meta(a[0])["output_token_logprobs"] = lps(a[0])[1:]; return a }, "output_token_logprobs for"},
		{"log-probs of other tokens", func(a []object) any { list(lps(a[0])[0])[1] = 9; return a }, "of other tokens than output_ids"},
		{"a log-prob that is null", func(a []object) any { list(lps(a[0])[0])[0] = nil; return a }, "token 0 has log-prob NaN"},
		{"a log-prob over 0", func(a []object) any { list(lps(a[0])[0])[0] = 0.5; return a }, "token 0 has log-prob 0.5"},
		{"another vocabulary", func(a []object) any {
			list(a[0]["output_ids"])[0], list(lps(a[0])[0])[1] = 512, 512
			return a
		}, "token 0 is 512, outside the vocabulary of 512: is this the run's model?"},
		{"another prompt", func(a []object) any { meta(a[0])["prompt_tokens"] = 3; return a }, "a prompt of 3 tokens, sent 4"},
		{"another count", func(a []object) any { meta(a[0])["completion_tokens"] = 99; return a }, "completion_tokens says 99"},
		{"weights that change between two answers", func(a []object) any { meta(a[1])["weight_version"] = "run-2"; return a }, `answers 0 and 1 are of weights "default" and "run-2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, g, _ := open(t, sglangtest.Options{}, sglang.Options{Seeds: true})
			fake.Edit(c.spoil)
			got, err := g.Generate(t.Context(), request(2, 4))
			var bad *endpoint.ReplyError
			if got != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a bad reply with %q", err, c.want)
			}
		})
	}
}

// A long answer is not believed either.
func TestRefusesTooManyTokens(t *testing.T) {
	fake, g, _ := open(t, sglangtest.Options{}, sglang.Options{Seeds: true})
	fake.Edit(func(a []object) any {
		ids := []any{}
		for range 9 {
			ids = append(ids, 5)
		}
		a[0]["output_ids"] = ids
		return a
	})
	r := request(1, 4)
	r.Params.Logprobs = false
	if _, err := g.Generate(t.Context(), r); err == nil || !strings.Contains(err.Error(), "9 tokens, over max_new_tokens 4") {
		t.Errorf("error %v", err)
	}
}

// Passing trouble gives the rollouts that there would have been without it.
func TestTriesAgain(t *testing.T) {
	cut := func(right http.Handler, w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		name    string
		trouble func(*sglangtest.Server)
	}{
		{"500", func(s *sglangtest.Server) { s.Fail("/generate", 1, http.StatusInternalServerError, "oops") }},
		{"503", func(s *sglangtest.Server) { s.Fail("/generate", 2, http.StatusServiceUnavailable, "starting") }},
		{"a cut connection", func(s *sglangtest.Server) { s.Takeover("/generate", 1, cut) }},
		{"an aborted sample", func(s *sglangtest.Server) {
			s.Edit(func(a []object) any {
				a[1]["output_ids"] = []any{}
				meta(a[1])["finish_reason"] = object{"type": "abort", "message": "Unknown error"}
				return a
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, g, _ := open(t, sglangtest.Options{}, sglang.Options{Seeds: true})
			want, err := g.Generate(t.Context(), request(3, 8))
			if err != nil {
				t.Fatal(err)
			}
			c.trouble(fake)
			got, err := g.Generate(t.Context(), request(3, 8))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-without +with):\n%s", diff)
			}
		})
	}
}

// A server that only ever aborts is not one that may have other weights: the
// fleet asks for the samples again, and fences nobody.
func TestAbortedForGood(t *testing.T) {
	fake := sglangtest.New(t, sglangtest.Options{})
	g, err := sglang.New(dial(t, fake.URL), sglang.Options{Retry: endpoint.Retry{Tries: 1}})
	if err != nil {
		t.Fatal(err)
	}
	fake.Edit(func(a []object) any {
		meta(a[0])["finish_reason"] = object{"type": "abort", "message": "Unknown error"}
		return a
	})
	if got, err := g.Generate(t.Context(), request(2, 4)); got != nil || !errors.Is(err, sampler.ErrAborted) {
		t.Errorf("%v, %v", got, err)
	}
}

// A pause in the middle of an answer: what it cut is asked for again when the server goes on.
func TestPauseInTheMiddle(t *testing.T) {
	fake, g, _ := open(t, sglangtest.Options{Policy: slow}, sglang.Options{Seeds: true})
	r := request(2, 400)
	done := make(chan struct{})
	var got []sampler.Rollout
	var err error
	go func() {
		defer close(done)
		got, err = g.Generate(t.Context(), r)
	}()
	e := dial(t, fake.URL)
	post := func(path string) {
		if err := e.Do(t.Context(), http.MethodPost, path, struct{}{}, nil); err != nil {
			t.Error(err)
		}
	}
	if err := fake.AwaitRunning(t.Context(), func(n int) bool { return n == 2 }); err != nil {
		t.Fatal(err)
	}
	post("/pause_generation")
	post("/continue_generation")
	<-done
	if err != nil {
		t.Fatal(err)
	}
	again, err := g.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again, got); diff != "" {
		t.Errorf("(-undisturbed +paused):\n%s", diff)
	}
}

func TestTag(t *testing.T) {
	tag := func(version int64) string { return map[int64]string{1: "default", 2: "run-2"}[version] }
	_, g, _ := open(t, sglangtest.Options{}, sglang.Options{Seeds: true, Tag: tag})
	for version, want := range map[int64]string{0: "", 1: "", 2: `it is of weights "default", asked for version 2 ("run-2")`} {
		r := request(1, 4)
		r.Version = version
		_, err := g.Generate(t.Context(), r)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("version %d: %v, want %q", version, err, want)
		}
	}
}

func TestScorerRefusesReplies(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(answers []object) any
		want  string
	}{
		{"none", func(a []object) any { delete(meta(a[0]), "input_token_logprobs"); return a }, "no input_token_logprobs"},
		{"one missing", func(a []object) any {
			meta(a[0])["input_token_logprobs"] = list(meta(a[0])["input_token_logprobs"])[1:]
			return a
		}, "of 2 positions for 3 tokens"},
		{"of another token", func(a []object) any { list(list(meta(a[0])["input_token_logprobs"])[1])[1] = 8; return a }, "input_token_logprobs[1] is of token 8, sent 6"},
		{"null", func(a []object) any { list(list(meta(a[0])["input_token_logprobs"])[2])[0] = nil; return a }, "input_token_logprobs[2] is NaN"},
		{"two answers", func(a []object) any { return append(slices.Clone(a), a[0]) }, "2 answers, asked for 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, _, s := open(t, sglangtest.Options{}, sglang.Options{})
			fake.Edit(c.spoil)
			if got, err := s.Score(t.Context(), [][]int32{{5, 6, 7}}); got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, error %v, want %q", got, err, c.want)
			}
		})
	}
}
