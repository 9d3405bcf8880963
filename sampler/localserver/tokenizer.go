package localserver

import "github.com/justrl/justrl/sampler/tokenizer"

// Tokenizer turns text into ids and back. It is safe for concurrent use.
type Tokenizer interface {
	// Encode gives the ids of text, special tokens in it recognised, nothing added around it.
	Encode(text string) []int32
	// Decode gives the text of ids, special tokens left out if skipSpecial.
	// Bytes that are not UTF-8 become U+FFFD; ids without a token are nothing.
	Decode(ids []int32, skipSpecial bool) string
	// Strings gives the vocabulary's own spelling of each id.
	Strings(ids []int32) []string
	// MaxTokenChars is the length of the longest token in characters: a text
	// has at least its length divided by it in tokens.
	MaxTokenChars() int
	// Render is the text of a conversation by the chat template. variables are
	// further ones that the template may read.
	Render(messages []Message, addGenerationPrompt bool, variables map[string]any) (string, error)
}

// Message is one turn of a conversation.
type Message = tokenizer.Message

// FromModel is the tokenizer of a model folder.
func FromModel(t *tokenizer.Tokenizer) Tokenizer { return modelTokenizer{t, t.MaxTokenChars()} }

type modelTokenizer struct {
	*tokenizer.Tokenizer
	maxChars int
}

func (t modelTokenizer) MaxTokenChars() int { return t.maxChars }

func (t modelTokenizer) Render(messages []Message, addGenerationPrompt bool, variables map[string]any) (string, error) {
	return t.RenderWith(messages, addGenerationPrompt, variables)
}
