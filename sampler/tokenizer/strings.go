package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Strings gives the vocabulary's own spelling of ids, in which a byte is one
// printable character ("Ġ+" for " +") and an added token its content; "" for
// an id that no token has.
func (t *Tokenizer) Strings(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) || !t.tokens[id].known {
			continue
		}
		if added, ok := t.added.byID[id]; ok {
			out[i] = added.Content
			continue
		}
		var spelled strings.Builder
		for _, b := range []byte(t.tokens[id].bytes) {
			spelled.WriteRune(byteRune(b))
		}
		out[i] = spelled.String()
	}
	return out
}

// MaxTokenChars is the length of the longest spelling in characters. No token
// covers more of a text, so a text of n characters has at least n divided by
// it in tokens.
func (t *Tokenizer) MaxTokenChars() int {
	longest := 1
	for id, tok := range t.tokens {
		n := len(tok.bytes)
		if added, ok := t.added.byID[int32(id)]; ok {
			n = utf8.RuneCountInString(added.Content)
		}
		longest = max(longest, n)
	}
	return longest
}
