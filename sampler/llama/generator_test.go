package llama_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
)

type object = map[string]any

// What is sent, to the byte: a field that is left out is another distribution.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  func(*sampler.Request)
	}{
		{"sample.json", func(*sampler.Request) {}},
		{"truncated.json", func(r *sampler.Request) {
			r.Params = sampler.Params{N: 1, Temperature: 0.7, TopP: 0.9, TopK: 20, MinP: 0.1, MaxTokens: 9}
		}},
		{"score.json", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, g, s := open(t, openaitest.Options{})
			if c.ask == nil {
				if _, err := s.Score(t.Context(), [][]int32{{3, 4, 5}}); err != nil {
					t.Fatal(err)
				}
			} else {
				r := request(1, 8)
				c.ask(&r)
				if _, err := g.Generate(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			var got bytes.Buffer
			for _, body := range fake.Bodies() {
				if err := json.Indent(&got, body, "", " "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
			}
			path := filepath.Join("testdata", c.name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (write it with -update)", err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestRefusesReplies(t *testing.T) {
	probs := func(r object) []any { p, _ := r["completion_probabilities"].([]any); return p }
	first := func(r object) object { p, _ := probs(r)[0].(object); return p }
	for _, c := range []struct {
		name  string
		spoil func(r object)
		want  string
	}{
		{"unknown reason", func(r object) { r["stop_type"] = "none" }, `stop_type "none" is none of eos, limit, word`},
		{"no tokens", func(r object) { r["tokens"] = []int{} }, "no tokens (a llama-server without return_tokens?)"},
		{"too many", func(r object) { r["tokens"] = []int{5, 5, 5, 5, 5} }, "5 tokens, over n_predict 4"},
		{"a shifted context", func(r object) { r["truncated"] = true }, "the context ran out and was shifted"},
		{"a shifted context, then an end", func(r object) { r["truncated"], r["stop_type"] = true, "eos" }, "the context ran out and was shifted"},
		{"another prompt", func(r object) { r["tokens_evaluated"] = 5 }, "a prompt of 5 tokens, sent 4"},
		{"another vocabulary", func(r object) { r["tokens"] = []int{512} }, "token 0 is 512, outside the vocabulary of 512"},
		{"more log-probs", func(r object) { r["completion_probabilities"] = append(probs(r), probs(r)...) }, "completion_probabilities for"},
		{"of other tokens", func(r object) { first(r)["id"] = 9 }, "of other tokens than tokens"},
		{"null", func(r object) { first(r)["logprob"] = nil }, "a log-prob is no number"},
		{"minus infinity", func(r object) { first(r)["logprob"] = -3.4e38 }, "which no sampled token can have"},
		{"over 0", func(r object) { first(r)["logprob"] = 0.5 }, "token 0 has log-prob 0.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, g, _ := open(t, openaitest.Options{})
			fake.Edit(c.spoil)
			r := request(1, 4)
			got, err := g.Generate(t.Context(), r)
			var bad *endpoint.ReplyError
			if got != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a bad reply with %q", err, c.want)
			}
		})
	}
}

func TestTriesAgain(t *testing.T) {
	fake, g, _ := open(t, openaitest.Options{})
	want, err := g.Generate(t.Context(), request(3, 8))
	if err != nil {
		t.Fatal(err)
	}
	fake.Fail(http.StatusServiceUnavailable) // as it answers while it loads a model
	fake.Fail(http.StatusInternalServerError)
	got, err := g.Generate(t.Context(), request(3, 8))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-without +with):\n%s", diff)
	}
}

// A stop token that the server does not know cuts the text too.
func TestStopTokenCutsTheText(t *testing.T) {
	script := []int32{30, 31, 32, 33}
	_, g, _ := open(t, openaitest.Options{Script: func([]int32, int64) []int32 { return script }})
	r := request(1, 4)
	r.Params.StopTokenIDs = []int32{32}
	got, err := g.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	o := got[0]
	if !slices.Equal(o.TokenIDs, script[:3]) || len(o.Logprobs) != 3 || o.Text != openaitest.Decode(script[:2]) || o.FinishReason != sampler.FinishStop {
		t.Errorf("%+v", o)
	}
}

// Tokens that end within a character have no log-probs in the reply: they are asked for.
func TestTornCharacters(t *testing.T) {
	for name, torn := range map[string]func(id int32) bool{
		"some": func(id int32) bool { return id%3 == 0 }, "none whole": func(id int32) bool { return id != openaitest.Encode("a")[0] },
	} {
		t.Run(name, func(t *testing.T) {
			fake, g, s := open(t, openaitest.Options{})
			want, err := g.Generate(t.Context(), request(2, 20))
			if err != nil {
				t.Fatal(err)
			}
			fake.Tear(torn)
			got, err := g.Generate(t.Context(), request(2, 20))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-whole +torn):\n%s", diff)
			}
			if _, err := s.Score(t.Context(), [][]int32{{3, 6, 9, 10}}); err != nil {
				t.Error(err)
			}
		})
	}
	// Twice the same token, once with a log-prob: whose it is cannot be known.
	fake, g, _ := open(t, openaitest.Options{Script: func([]int32, int64) []int32 { return []int32{30, 31, 31, 32} }})
	want, err := g.Generate(t.Context(), request(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	fake.Edit(func(r object) {
		p, _ := r["completion_probabilities"].([]any)
		r["completion_probabilities"] = append(p[:1:1], p[2:]...)
	})
	got, err := g.Generate(t.Context(), request(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-whole +one missing):\n%s", diff)
	}
}

func TestScorerRefusesReplies(t *testing.T) {
	fake, _, s := open(t, openaitest.Options{})
	fake.Edit(func(r object) { r["tokens"] = []int{9} })
	if got, err := s.Score(t.Context(), [][]int32{{5, 6, 7}}); got != nil || err == nil || !strings.Contains(err.Error(), "sequence 0: token 1") || !strings.Contains(err.Error(), "tokens [9], forced to be 6") {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := s.Score(t.Context(), [][]int32{{5}}); err == nil {
		t.Error("scored one token")
	}
}
