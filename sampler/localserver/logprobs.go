package localserver

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// least is what vLLM writes for log-probs below it, as JSON has no infinity.
const least = -9999.0

func atLeast(x float64) float64 {
	if x < least {
		return least
	}
	return x
}

// speller gives tokens' texts one by one, as vLLM spells them in log-probs: a
// token that ends within a character is "", and the token that completes it
// has the whole character.
type speller struct {
	tok     Tokenizer
	asIDs   bool    // "token_id:17" instead of the text
	context []int32 // tokens before, at most four
}

func (p *speller) next(id int32) {
	if len(p.context) == 4 {
		p.context = append(p.context[:0], p.context[1:]...)
	}
	p.context = append(p.context, id)
}

func (p *speller) broken(text string) bool { return strings.HasSuffix(text, "\uFFFD") }

// text is how a token that follows the context is spelled.
func (p *speller) text(id int32) string {
	alone := p.tok.Decode([]int32{id}, false)
	if !p.broken(alone) {
		return alone
	}
	for n := 1; n <= len(p.context); n++ {
		context := p.context[len(p.context)-n:]
		full := p.tok.Decode(append(append([]int32{}, context...), id), false)
		if p.broken(full) {
			continue
		}
		clean := n
		for clean > 0 && p.broken(p.tok.Decode(context[clean-1:clean], false)) {
			clean--
		}
		prefix := p.tok.Decode(context[:clean], false)
		return full[common(prefix, full):]
	}
	return ""
}

// common is the length of the longest common prefix, in whole characters.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && n < len(b) && !utf8.RuneStart(b[n]) {
		n--
	}
	return n
}

// name is what stands for a token in a log-probs object.
func (p *speller) name(id int32) string {
	if p.asIDs {
		return fmt.Sprintf("token_id:%d", id)
	}
	return p.text(id)
}

// pairs is a JSON object whose members keep their order. A name that comes
// again replaces the value and keeps the place, as in Python.
type pairs[V any] struct {
	names  []string
	values []V
}

func (p *pairs[V]) put(name string, v V) {
	for i, n := range p.names {
		if n == name {
			p.values[i] = v
			return
		}
	}
	p.names, p.values = append(p.names, name), append(p.values, v)
}

// MarshalJSON writes the members in order.
func (p *pairs[V]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range p.names {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(p.values[i])
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// competitors are a token and the most likely ones, each once, the token first.
func competitors(t Token) []Candidate {
	out := append(make([]Candidate, 0, 1+len(t.Top)), Candidate{ID: t.ID, Logprob: t.Logprob, Rank: t.Rank})
	for _, c := range t.Top {
		if c.ID != t.ID {
			out = append(out, c)
		}
	}
	return out
}

// finite tells whether a token's log-probs can be written.
func finite(tokens []Token) bool {
	for _, t := range tokens {
		if math.IsNaN(t.Logprob) {
			return false
		}
		for _, c := range t.Top {
			if math.IsNaN(c.Logprob) {
				return false
			}
		}
	}
	return true
}

// completionLogprobs are those of /v1/completions.
type completionLogprobs struct {
	TextOffset    []int             `json:"text_offset"`
	TokenLogprobs []*float64        `json:"token_logprobs"`
	Tokens        []string          `json:"tokens"`
	TopLogprobs   []*pairs[float64] `json:"top_logprobs"`
}

func newCompletionLogprobs() *completionLogprobs {
	return &completionLogprobs{TextOffset: []int{}, TokenLogprobs: []*float64{}, Tokens: []string{}, TopLogprobs: []*pairs[float64]{}}
}

// place appends a token's name and gives the offset after it.
func (l *completionLogprobs) place(name string, offset int) int {
	l.TextOffset, l.Tokens = append(l.TextOffset, offset), append(l.Tokens, name)
	return offset + utf8.RuneCountInString(name)
}

// add appends tokens with k of their competitors, from a text offset on.
func (l *completionLogprobs) add(p *speller, tokens []Token, k, offset int) int {
	for _, t := range tokens {
		offset = l.place(p.name(t.ID), offset)
		logprob := atLeast(t.Logprob)
		l.TokenLogprobs = append(l.TokenLogprobs, &logprob)
		top := &pairs[float64]{}
		for i, c := range competitors(t) {
			if i <= k {
				top.put(p.name(c.ID), atLeast(c.Logprob))
			}
		}
		l.TopLogprobs = append(l.TopLogprobs, top)
		p.next(t.ID)
	}
	return offset
}

// echo prepends a prompt: its first token has no log-prob.
func (l *completionLogprobs) echo(tok Tokenizer, asIDs bool, ids []int32, scores []Token, k int) int {
	p := &speller{tok: tok, asIDs: asIDs}
	name := p.name(ids[0])
	if !asIDs {
		name = tok.Decode(ids[:1], false)
	}
	offset := l.place(name, 0)
	l.TokenLogprobs, l.TopLogprobs = append(l.TokenLogprobs, nil), append(l.TopLogprobs, nil)
	return l.add(p, scores, k, offset)
}

// chatLogprobs are those of /v1/chat/completions.
type chatLogprobs struct {
	Content []chatLogprob `json:"content"`
}

type chatLogprob struct {
	Token       string           `json:"token"`
	Logprob     float64          `json:"logprob"`
	Bytes       []int            `json:"bytes"`
	TopLogprobs []chatTopLogprob `json:"top_logprobs"`
}

type chatTopLogprob struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

func bytesOf(s string) []int {
	out := make([]int, len(s))
	for i := range out {
		out[i] = int(s[i])
	}
	return out
}

func newChatLogprobs(p *speller, tokens []Token, k int) *chatLogprobs {
	l := &chatLogprobs{Content: []chatLogprob{}}
	for _, t := range tokens {
		c := chatLogprob{Token: p.name(t.ID), Logprob: atLeast(t.Logprob), Bytes: bytesOf(p.text(t.ID)), TopLogprobs: []chatTopLogprob{}}
		for i, x := range competitors(t) {
			if i < k {
				name := p.name(x.ID)
				c.TopLogprobs = append(c.TopLogprobs, chatTopLogprob{name, atLeast(x.Logprob), bytesOf(name)})
			}
		}
		l.Content = append(l.Content, c)
		p.next(t.ID)
	}
	return l
}

// idLogprobs are those of /inference/v1/generate.
type idLogprobs struct {
	Content []idLogprob `json:"content"`
}

type idLogprob struct {
	idTopLogprob
	TopLogprobs []idTopLogprob `json:"top_logprobs"`
}

type idTopLogprob struct {
	TokenID int32   `json:"token_id"`
	Logprob float64 `json:"logprob"`
	Rank    int     `json:"rank"`
}

func newIDLogprobs(tokens []Token) *idLogprobs {
	l := &idLogprobs{Content: []idLogprob{}}
	for _, t := range tokens {
		x := idLogprob{idTopLogprob: idTopLogprob{t.ID, atLeast(t.Logprob), t.Rank}}
		for _, c := range competitors(t) {
			x.TopLogprobs = append(x.TopLogprobs, idTopLogprob{c.ID, atLeast(c.Logprob), c.Rank})
		}
		l.Content = append(l.Content, x)
	}
	return l
}

// position is a token's entry in prompt_logprobs.
type position struct {
	Logprob      float64 `json:"logprob"`
	Rank         int     `json:"rank"`
	DecodedToken string  `json:"decoded_token"`
}

// promptLogprobs is null for the first token, and by id for each other.
func promptLogprobs(tok Tokenizer, scores []Token) []*pairs[position] {
	out := []*pairs[position]{nil}
	p := &speller{tok: tok}
	for _, t := range scores {
		at := &pairs[position]{}
		for _, c := range competitors(t) {
			at.put(strconv.Itoa(int(c.ID)), position{atLeast(c.Logprob), c.Rank, p.text(c.ID)})
		}
		out = append(out, at)
		p.next(t.ID)
	}
	return out
}
