package openaitest

import (
	"fmt"
	"strings"
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

// Encode gives one token a byte.
func Encode(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range ids {
		ids[i] = firstByte + int32(text[i])
	}
	return ids
}

// Decode is the text of ids without special and padding tokens; bytes that
// are no UTF-8 become the replacement character, as in vLLM.
func Decode(ids []int32) string {
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
