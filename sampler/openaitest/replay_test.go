package openaitest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// replay is an engine that gives the tokens of a recorded answer.
type replay struct {
	localserver.Engine // nil: nothing else is asked of it
	choices            []recordedChoice
	scores             []localserver.Token
}

// recordedChoice is what an answer or a stream tells of one choice.
type recordedChoice struct {
	prompt []int32
	tokens []localserver.Token
	finish string
}

func (r *replay) Model() localserver.Model {
	return localserver.Model{Vocab: 512, MaxLen: 512, EOS: []int32{2}}
}

func (r *replay) Freeze(bool) {}
func (r *replay) ResetCache() {}

func (r *replay) Stats() localserver.Stats { return localserver.Stats{} }

func (r *replay) Load(_ context.Context, dir string) error {
	if strings.HasPrefix(dir, "/no/") {
		return errors.New("Repo id must be in the form 'repo_name' or 'namespace/repo_name': '" + dir + "'. Use `repo_type` argument if needed.")
	}
	return nil
}

func (r *replay) Score(context.Context, []int32, int) ([]localserver.Token, error) {
	return r.scores, nil
}

func (r *replay) Generate(_ context.Context, ask localserver.Request) ([]localserver.Sample, error) {
	var out []localserver.Sample
	for _, c := range r.choices {
		if !slices.Equal(c.prompt, ask.Prompt) {
			continue
		}
		s := localserver.Sample{Finish: c.finish, StopToken: -1}
		for _, t := range c.tokens {
			s.Tokens = append(s.Tokens, t)
			if ask.OnToken != nil && ask.OnToken(len(out), t) {
				break
			}
		}
		out = append(out, s)
	}
	if len(out) != ask.N {
		return nil, errors.New("the recording has other prompts")
	}
	return out, nil
}

// record reads what a replay needs out of a recorded answer. It gives false
// for answers that do not tell enough: without ids, or with log-probs of
// tokens that are named by their text alone.
func (r *replay) record(t *testing.T, reply string) bool {
	t.Helper()
	r.choices, r.scores = make([]recordedChoice, 8), nil
	n := 0
	var prompt []int32
	for _, line := range strings.Split(reply, "\n\n") {
		line = strings.TrimPrefix(line, "data: ")
		if line == "[DONE]" || line == "" {
			continue
		}
		var p struct {
			parts
			Choices []struct {
				part
				Scores []map[string]struct {
					Logprob float64
					Rank    int
				} `json:"prompt_logprobs"`
				All struct {
					TokenLogprobs []*float64 `json:"token_logprobs"`
				} `json:"logprobs"`
			}
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		if p.PromptIDs != nil {
			prompt = p.PromptIDs
		}
		for _, c := range p.Choices {
			n = max(n, c.Index+1)
			got := &r.choices[c.Index]
			if c.PromptIDs != nil {
				got.prompt = c.PromptIDs
			}
			logprobs := c.All.TokenLogprobs
			if extra := len(logprobs) - len(c.TokenIDs); extra > 0 && len(c.PromptIDs) == extra { // echoed
				for i, x := range logprobs[1:extra] {
					r.scores = append(r.scores, localserver.Token{ID: c.PromptIDs[i+1], Logprob: *x})
				}
				logprobs = logprobs[extra:]
			}
			for i, id := range c.TokenIDs {
				token := localserver.Token{ID: id}
				if logprobs != nil {
					token.Logprob = *logprobs[i]
				}
				if c.Logprobs != nil && c.Logprobs.Content != nil {
					token.Logprob = c.Logprobs.Content[i].Logprob
				}
				got.tokens = append(got.tokens, token)
			}
			if c.FinishReason != nil {
				got.finish = *c.FinishReason
			}
			for i := 1; i < len(c.Scores) && len(r.scores) < len(c.Scores)-1; i++ {
				for id, at := range c.Scores[i] {
					token, err := strconv.Atoi(id)
					if err != nil {
						t.Fatal(err)
					}
					r.scores = append(r.scores, localserver.Token{ID: int32(token), Logprob: at.Logprob, Rank: at.Rank})
				}
			}
		}
	}
	r.choices = r.choices[:n]
	for i := range r.choices {
		if r.choices[i].prompt == nil {
			r.choices[i].prompt = prompt
		}
		if r.choices[i].prompt == nil || r.choices[i].tokens == nil {
			return false
		}
	}
	return n > 0
}

// own is what differs between any two answers.
var own = regexp.MustCompile(`"id":"(cmpl|chatcmpl)-[0-9a-f]{16}"|"created":\d+|"system_fingerprint":"[^"]*"|"(id|root)":"(modelperm-[^"]*|[^"]*DIR)"`)

var (
	mostLikely = regexp.MustCompile(`"(top_|prompt_)?logprobs":[1-9]`)
	scoresChat = regexp.MustCompile(`chat/completions.*prompt_logprobs`)
)

// TestReplaysAreVLLMsBytes: with the real tokenizer (the file is the model's,
// but for the pre-tokenizer: vLLM gives every Qwen2 model Qwen2's own), and an engine that gives
// the tokens that vLLM drew, the answers are vLLM's to the byte.
func TestReplaysAreVLLMsBytes(t *testing.T) {
	tok, err := tokenizer.Load("testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	engine := &replay{}
	server, err := localserver.New(localserver.Options{
		Engine: engine, Tokenizer: localserver.FromModel(tok), Models: []string{"tiny"}, Root: "MODELDIR", APIKey: recordKey, DevMode: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	compared := map[string]int{}
	for _, want := range readRecordings(t) {
		generated := want.Status == http.StatusOK && (strings.HasSuffix(want.Path, "/completions") || strings.HasSuffix(want.Path, "/generate"))
		kind := "other answers"
		switch {
		case want.Name == "n beyond 64 bits": // is shown as the largest that fits
			continue
		case want.Own || want.Path == "/metrics" || strings.Contains(want.Reply, `"checksums"`) || strings.Contains(want.Reply, `"mismatches"`):
			continue
		case generated && (strings.HasPrefix(want.Path, "/inference") || !strings.Contains(want.Body, `"return_token_ids":true`) ||
			mostLikely.MatchString(want.Body) || scoresChat.MatchString(want.Path+want.Body) || !engine.record(t, want.Reply)):
			if !strings.HasPrefix(want.Reply, `data: {"error"`) {
				continue
			}
			kind = "errors in streams"
		case generated:
			kind = "generations"
		case want.Status != http.StatusOK:
			kind = "errors"
		}
		compared[kind]++
		t.Run(want.Name, func(t *testing.T) {
			r := httptest.NewRequest(want.Method, want.Path, strings.NewReader(want.Body))
			if want.Body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			if !want.NoKey {
				r.Header.Set("Authorization", "Bearer "+recordKey)
			}
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			a, b := own.ReplaceAllString(want.Reply, "…"), own.ReplaceAllString(w.Body.String(), "…")
			if w.Code != want.Status || !bytes.Equal([]byte(a), []byte(b)) {
				t.Errorf("%d, vLLM answers %d (-vLLM +ours)\n%s", w.Code, want.Status, cmp.Diff(a, b))
			}
		})
	}
	t.Log(compared)
	for kind, least := range map[string]int{"generations": 17, "errors": 150, "errors in streams": 3, "other answers": 40} {
		if compared[kind] < least {
			t.Errorf("%d %s were compared, want %d", compared[kind], kind, least)
		}
	}
}
