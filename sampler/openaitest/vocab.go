package openaitest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/sampler/localserver"
)

// The vocabulary: three special tokens, the 256 bytes, ten whole boxed
// answers, then words; ids from the tokenizer's size on are padding without
// text, as real models have.
const (
	firstByte = 3
	firstBox  = firstByte + 256
	firstWord = firstBox + 10
	lastText  = 500
)

func isBox(id int32) bool { return id >= firstBox && id < firstWord }

// special are the texts of the special tokens, by id.
var special = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}

// Encode gives one token a byte, and one each for the special tokens' texts.
func Encode(text string) []int32 {
	ids := make([]int32, 0, len(text))
	for len(text) > 0 {
		id := int32(slices.IndexFunc(special, func(s string) bool { return strings.HasPrefix(text, s) }))
		n := 1
		if id >= 0 {
			n = len(special[id])
		} else {
			id = firstByte + int32(text[0])
		}
		ids, text = append(ids, id), text[n:]
	}
	return ids
}

// vocabulary is the fake's tokenizer, or the one that its options have.
type vocabulary struct{ o Options }

func (v vocabulary) Encode(text string) []int32 {
	if v.o.Encode != nil {
		return v.o.Encode(text)
	}
	return Encode(text)
}

func (v vocabulary) Decode(ids []int32, skipSpecial bool) string {
	switch {
	case v.o.Decode != nil:
		return v.o.Decode(ids)
	case skipSpecial:
		return Decode(ids)
	}
	return decode(ids, func(id int32) string {
		if id >= 0 && int(id) < len(special) {
			return special[id]
		}
		return piece(id)
	})
}

func (v vocabulary) Strings(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = v.Decode([]int32{id}, false)
	}
	return out
}

// MaxTokenChars is that of <|endoftext|>; of another tokenizer, more than it has.
func (v vocabulary) MaxTokenChars() int {
	if v.o.Encode != nil {
		return 1 << 10
	}
	return len(special[0])
}

// Render is ChatML.
func (v vocabulary) Render(messages []localserver.Message, addGenerationPrompt bool, _ map[string]any) (string, error) {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "<|im_start|>%s\n%s<|im_end|>\n", m.Role, m.Content)
	}
	if addGenerationPrompt {
		b.WriteString("<|im_start|>assistant\n")
	}
	return b.String(), nil
}

// Decode is the text of ids without special and padding tokens; bytes that
// are no UTF-8 become the replacement character, as in vLLM.
func Decode(ids []int32) string { return decode(ids, piece) }

func decode(ids []int32, piece func(int32) string) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(piece(id))
	}
	return strings.ToValidUTF8(b.String(), "�")
}

func piece(id int32) string {
	switch {
	case id < firstByte || id >= lastText:
		return ""
	case id < firstBox:
		return string([]byte{byte(id - firstByte)})
	case isBox(id):
		return fmt.Sprintf(`\boxed{%d}`, id-firstBox)
	default:
		return fmt.Sprintf(" w%d", id)
	}
}
