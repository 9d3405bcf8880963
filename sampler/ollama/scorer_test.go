package ollama

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/ollamatest"
)

func scorer(t *testing.T, url string, positions int) *Scorer {
	t.Helper()
	s, err := NewScorer(connect(t, url), settings(), positions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sequence is a prompt with a greedy answer, whose tokens are the likeliest.
func sequence(t *testing.T, url string) (ids []int32, prompt int) {
	t.Helper()
	r := request(1, 12)
	r.Params.Temperature = 0
	out, err := open(t, url, nil).Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return append(r.PromptTokenIDs, out[0].TokenIDs...), len(r.PromptTokenIDs)
}

func TestScore(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	seq, prompt := sequence(t, server.URL)
	answer := len(seq) - prompt
	got, err := scorer(t, server.URL, answer).Score(t.Context(), [][]int32{seq, seq})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Errorf("scored twice: %s", diff)
	}
	known := 0
	for i, x := range got[0] {
		switch {
		case i < prompt-1 && x != Unknown:
			t.Errorf("position %d was not to be asked about and is %v", i, x)
		case i >= prompt-1 && x != Unknown:
			known++
			if x >= 0 || x < -6 {
				t.Errorf("position %d has %v, which a greedy token has not", i, x)
			}
		}
	}
	if known < answer-2 { // but for halves of characters
		t.Errorf("%d of %d greedy tokens are known", known, answer)
	}
}

// TestScoreSaysWhatItDoesNotKnow: tokens beyond the likeliest, prefixes that text does not say.
func TestScoreSaysWhatItDoesNotKnow(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	seq, _ := sequence(t, server.URL)
	for name, change := range map[string]func([]int32) []int32{
		"a token that is none of the 20 likeliest": func(ids []int32) []int32 { ids[len(ids)-1] = ollamatest.Begin; return ids },
		"a prefix that text does not say":          func(ids []int32) []int32 { return append(ids[:len(ids)-1], 'a', 'b', 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			ids := change(append([]int32(nil), seq...))
			got, err := scorer(t, server.URL, 10).Score(t.Context(), [][]int32{ids})
			if err != nil {
				t.Fatal(err)
			}
			if x := got[0][len(got[0])-1]; x != Unknown {
				t.Errorf("log-prob %v, want unknown", x)
			}
		})
	}
	_, err := scorer(t, server.URL, 1).Score(t.Context(), [][]int32{{'x', ollamatest.Begin}})
	if err == nil || !strings.Contains(err.Error(), "none of the sequences' tokens is among the 20 likeliest") {
		t.Errorf("nothing known: %v", err)
	}
	if _, err := scorer(t, server.URL, 1).Score(t.Context(), [][]int32{{'x'}}); err == nil {
		t.Error("a sequence of one token was scored")
	}
	server.Set(ollamatest.Faults{Noise: 9})
	if _, err := scorer(t, server.URL, 12).Score(t.Context(), [][]int32{seq}); err == nil || !strings.Contains(err.Error(), "which no token can have") {
		t.Errorf("impossible log-probs: %v", err)
	}
}
