package vllm

import (
	"io"
	"slices"
	"sync"

	"github.com/justrl/justrl/internal/jsonscan"
)

// completionReply is what is read of an answer of /v1/completions; everything
// else, nine tenths of it, is skipped.
type completionReply struct {
	ID      string   `json:"id"`
	Choices []choice `json:"choices"`
}

type choice struct {
	Index          *int      `json:"index"`
	Text           string    `json:"text"`
	Logprobs       *logprobs `json:"logprobs"`
	FinishReason   string    `json:"finish_reason"`
	TokenIDs       []int32   `json:"token_ids"`
	PromptTokenIDs []int32   `json:"prompt_token_ids"`
}

type logprobs struct {
	TokenLogprobs []float32 `json:"token_logprobs"`
}

// ReadBody implements endpoint's BodyReader.
func (r *completionReply) ReadBody(body io.Reader) error {
	s := jsonscan.New(body)
	defer s.Close()
	r.read(s)
	return s.End()
}

func (r *completionReply) read(s *jsonscan.Scanner) {
	if s.Null() {
		return
	}
	var prompt []int32 // the choices of a prompt share it
	s.Object(func(name []byte) {
		switch jsonscan.Field(name, "id", "choices") {
		case 0:
			text(s, &r.ID)
		case 1:
			if s.Null() {
				r.Choices = nil
				return
			}
			n := 0
			s.Array(func(i int) {
				n = i + 1
				r.Choices = upTo(r.Choices, i)
				if c := &r.Choices[i]; !s.Null() {
					c.read(s, &prompt)
				}
			})
			r.Choices = r.Choices[:n]
			if n == 0 {
				r.Choices = []choice{}
			}
		default:
			s.Skip()
		}
	})
}

// upTo makes element i be there: of two arrays of one name the second is read
// into the elements of the first, as encoding/json does.
func upTo(choices []choice, i int) []choice {
	if i >= cap(choices) {
		choices = slices.Grow(choices, 1)
	}
	if i >= len(choices) {
		choices = choices[:i+1]
	}
	return choices
}

func (c *choice) read(s *jsonscan.Scanner, prompt *[]int32) {
	s.Object(func(name []byte) {
		switch jsonscan.Field(name, "index", "text", "logprobs", "finish_reason", "token_ids", "prompt_token_ids") {
		case 0:
			if c.Index = nil; !s.Null() {
				n := s.Int()
				c.Index = &n
			}
		case 1:
			text(s, &c.Text)
		case 2:
			c.readLogprobs(s)
		case 3:
			text(s, &c.FinishReason)
		case 4:
			c.TokenIDs = ids(s, nil)
		case 5:
			c.PromptTokenIDs = ids(s, *prompt)
			*prompt = c.PromptTokenIDs
		default:
			s.Skip()
		}
	})
}

func (c *choice) readLogprobs(s *jsonscan.Scanner) {
	if s.Null() {
		c.Logprobs = nil
		return
	}
	if c.Logprobs == nil {
		c.Logprobs = &logprobs{}
	}
	s.Object(func(name []byte) {
		if jsonscan.Field(name, "token_logprobs") != 0 {
			s.Skip()
			return
		}
		b := take()
		defer b.give()
		b.floats = s.Float32s(b.floats[:0])
		c.Logprobs.TokenLogprobs = exact(b.floats)
	})
}

// text reads a string; null changes nothing.
func text(s *jsonscan.Scanner, to *string) {
	if s.Null() {
		return
	}
	b := take()
	defer b.give()
	b.text = s.Text(b.text[:0])
	*to = string(b.text)
}

// ids reads token ids; those that equal known are known itself.
func ids(s *jsonscan.Scanner, known []int32) []int32 {
	if s.Null() {
		return nil
	}
	b := take()
	defer b.give()
	b.ids = s.Int32s(b.ids[:0])
	if known != nil && slices.Equal(b.ids, known) {
		return known
	}
	return exact(b.ids)
}

// buffers are where a value grows before its size is known, so that what a
// Rollout keeps is as long as it needs to be and nothing is thrown away.
type buffers struct {
	ids    []int32
	floats []float32
	text   []byte
}

var pool = sync.Pool{New: func() any { return new(buffers) }}

func take() *buffers {
	b, _ := pool.Get().(*buffers) // nothing else is in it
	return b
}

func (b *buffers) give() { pool.Put(b) }

// exact copies to a slice without spare room.
func exact[T any](from []T) []T {
	to := make([]T, len(from))
	copy(to, from)
	return to
}
