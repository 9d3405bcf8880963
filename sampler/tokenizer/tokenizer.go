package tokenizer

import (
	"strings"
	"sync"
)

// Tokenizer is a loaded tokenizer with its chat template. It is immutable and
// safe for concurrent use.
type Tokenizer struct {
	model    *model
	added    *addedVocab
	pipeline pipeline
	tokens   []token // by id
	eos      []int32
	template *template
	scratch  sync.Pool // of *scratch
}

// token is what an id decodes to.
type token struct {
	bytes   string
	special bool
	known   bool // false for an id that no token has
}

// Vocab gives the highest token id plus one. A model's embedding may have more rows.
func (t *Tokenizer) Vocab() int { return len(t.tokens) }

// EOS gives the ids that end a sequence: generation_config.json's
// eos_token_id, else config.json's, else the tokenizer's eos_token; empty if
// no file names one. The caller owns the slice.
func (t *Tokenizer) EOS() []int32 { return append([]int32(nil), t.eos...) }

// Encode gives the token ids of text, added tokens in it recognised, nothing
// added around it: Hugging Face's encode(text, add_special_tokens=False).
// Ill-formed UTF-8 is read as U+FFFD, one for each maximal part.
func (t *Tokenizer) Encode(text string) []int32 {
	text = lossyUTF8(text)
	s, _ := t.scratch.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	defer t.scratch.Put(s)
	out := make([]int32, 0, len(text)/3+4)
	token := func(id int32) { out = append(out, id) }
	words := func(text string) { out = t.appendWords(out, text, s) }
	t.added.raw.split(text, func(text string) {
		if t.pipeline.nfc {
			text = nfc(text)
		}
		t.added.normal.split(text, words, token)
	}, token)
	return out
}

// appendWords pre-tokenizes normalised text and appends the ids of its words.
func (t *Tokenizer) appendWords(out []int32, text string, s *scratch) []int32 {
	for len(text) > 0 {
		piece := text
		if t.pipeline.digits {
			piece = text[:digitPiece(text)]
		}
		text = text[len(piece):]
		for len(piece) > 0 {
			n := t.pipeline.scan(piece)
			out = t.model.appendWord(out, piece[:n], s)
			piece = piece[n:]
		}
	}
	return out
}

// Decode gives the text of ids, special tokens left out if skipSpecial.
// Bytes that are not UTF-8 become U+FFFD, one for each maximal part, so a
// token that ends within a character decodes differently alone. Ids that no
// token has are left out, as Hugging Face does.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var out strings.Builder
	out.Grow(len(ids) * 4)
	for _, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) {
			continue
		}
		if tok := &t.tokens[id]; tok.known && (!skipSpecial || !tok.special) {
			out.WriteString(tok.bytes)
		}
	}
	return lossyUTF8(out.String())
}
