package ollama

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/sampler"
)

// told are the tokens that an answer was sampled as.
type told struct {
	ids       []int32
	canonical bool // encoding the answer's text gives the same
}

// unsure marks a piece that several ids have.
const unsure int32 = -1

// pieces are the ids of the vocabulary by the text that Ollama shows of each. A token
// that is not UTF-8 by itself is shown as U+FFFD, and is not among them.
func pieces(t Tokenizer, vocab int) map[string]int32 {
	out := make(map[string]int32, vocab)
	for id := range int32(vocab) {
		text := t.Decode([]int32{id}, false)
		if text == "" { // a row of the embedding that no token has, under the name that Ollama gives it
			text = fmt.Sprintf("[PAD%d]", id)
		}
		if strings.ContainsRune(text, utf8.RuneError) {
			continue
		}
		if _, twice := out[text]; twice {
			id = unsure
		}
		out[text] = id
	}
	return out
}

// tokens tells an answer's tokens, the end token included, or why they cannot be told.
func (g *Generator) tokens(reply *api.GenerateResponse) (told, error) {
	want := reply.EvalCount
	stopped := reply.DoneReason == string(sampler.FinishStop)
	if stopped {
		want-- // the end token is counted, and shown nowhere
	}
	canonical := g.o.Tokenizer.Encode(reply.Response)
	ids, err := g.match(reply, canonical, want)
	if err != nil {
		return told{}, err
	}
	same := slices.Equal(ids, canonical)
	if stopped {
		ids = append(ids[:len(ids):len(ids)], g.o.EndTokenID)
	}
	if len(ids) == 0 {
		return told{}, errors.New("no token")
	}
	return told{ids, same}, nil
}

// match is the want tokens that the server's pieces name, or those of the text where
// they contradict nothing.
func (g *Generator) match(reply *api.GenerateResponse, canonical []int32, want int) ([]int32, error) {
	if len(reply.Logprobs) == want && want > 0 {
		ids, whole := make([]int32, want), true
		var text strings.Builder
		for i, l := range reply.Logprobs {
			id, known := g.pieces[l.Token]
			if !known {
				id = unsure
			}
			whole = whole && id != unsure
			ids[i] = id
			text.WriteString(l.Token)
		}
		if whole && text.String() == reply.Response {
			return ids, nil
		}
		if len(canonical) == want && agree(ids, canonical) {
			return canonical, nil
		}
		return nil, fmt.Errorf("the text has %d tokens, and the %d that the server shows are not those", len(canonical), want)
	}
	if len(canonical) != want {
		return nil, fmt.Errorf("the text has %d tokens, the server counted %d", len(canonical), want)
	}
	return canonical, nil
}

// agree tells whether every id that is sure is in its place.
func agree(sure, ids []int32) bool {
	for i, id := range sure {
		if id != unsure && id != ids[i] {
			return false
		}
	}
	return true
}
