package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/goccy/go-json"
	goopenai "github.com/sashabaranov/go-openai"

	"github.com/justrl/justrl/internal/endpoint"
)

// Answer is one streamed answer, complete.
type Answer struct {
	Text         string // what the server put apart as reasoning included, in front
	FinishReason string // never empty
	Tokens       int    // of the answer; 0 if the server does not say
	PromptTokens int    // 0 if the server does not say
	// Apart tells that the server put reasoning apart: its marks are not in Text.
	Apart bool
}

type streamBody struct {
	ChatRequest
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// chunk is a streamed event. Reasoning has two names: vLLM's since 0.12, and DeepSeek's.
type chunk struct {
	Object  string `json:"object"`
	Message string `json:"message"` // of an error in vLLM's old form
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Content          string `json:"content"`
			Reasoning        string `json:"reasoning"`
			ReasoningContent string `json:"reasoning_content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
}

// Stream asks for one answer (N must be 1) once, without the Client's retries:
// who streams has a policy of its own. It blocks until the answer is complete and has no time limit but
// ctx; event, which may be nil, is called in this goroutine when the reply
// begins and with each piece, so that the caller can tell a long answer from a
// dead server.
//
// A stream that ends before the server has said why the answer did is a
// [*endpoint.ReplyError] that is [endpoint.Retryable]; an error that the
// server sends as an event is a [*endpoint.StatusError].
func (c *Client) Stream(ctx context.Context, r ChatRequest, event func()) (a Answer, err error) {
	if r.N != 1 {
		return Answer{}, errors.New("openai: stream: n = 1 is needed")
	}
	if event == nil {
		event = func() {}
	}
	err = c.send(ctx, r, func(r ChatRequest) any {
		return streamBody{ChatRequest: r, Stream: true, StreamOptions: streamOptions{IncludeUsage: true}}
	}, func(ctx context.Context) error {
		stream, err := c.c.CreateChatCompletionStream(ctx, goopenai.ChatCompletionRequest{})
		if err != nil {
			return err
		}
		defer stream.Close() //nolint:errcheck // read only
		event()
		a, err = gather(stream, event)
		return c.told(err)
	})
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

// gather reads a stream to its end.
func gather(stream *goopenai.ChatCompletionStream, event func()) (Answer, error) {
	var a Answer
	var reasoning, text strings.Builder
	for {
		raw, err := stream.RecvRaw()
		if errors.Is(err, io.EOF) { // [DONE], or the connection's end
			break
		}
		if err != nil {
			return a, err
		}
		var k chunk
		if err := json.Unmarshal(raw, &k); err != nil {
			return a, fmt.Errorf("event of the stream: %w", err)
		}
		if k.Object == "error" {
			return a, &goopenai.APIError{Message: k.Message}
		}
		event()
		if k.Usage != nil {
			a.PromptTokens, a.Tokens = k.Usage.PromptTokens, k.Usage.CompletionTokens
		}
		for _, choice := range k.Choices {
			if choice.Index != 0 {
				return a, fmt.Errorf("choice index %d, asked for one", choice.Index)
			}
			reasoning.WriteString(choice.Delta.Reasoning)
			if choice.Delta.Reasoning == "" {
				reasoning.WriteString(choice.Delta.ReasoningContent)
			}
			text.WriteString(choice.Delta.Content)
			if choice.FinishReason != "" {
				a.FinishReason = choice.FinishReason
			}
		}
	}
	if a.FinishReason == "" {
		return a, fmt.Errorf("the stream ended before the answer did: %w", io.ErrUnexpectedEOF)
	}
	a.Apart = reasoning.Len() > 0
	a.Text = reasoning.String() + text.String()
	return a, nil
}

// told makes an error that came as an event what it would have been as a status.
func (c *Client) told(err error) error {
	var api *goopenai.APIError
	if !errors.As(err, &api) {
		return err
	}
	status := http.StatusInternalServerError
	switch code := api.Code.(type) {
	case float64:
		status = int(code)
	case int:
		status = code
	case string:
		if n, err := strconv.Atoi(code); err == nil {
			status = n
		}
	}
	message := endpoint.OneLine(c.e.Conceal(api.Message))
	if message == "" {
		message = "an error without an explanation, in the stream"
	}
	return &endpoint.StatusError{Method: http.MethodPost, URL: c.e.URL() + chatPath, Status: status, Message: message, Type: endpoint.OneLine(c.e.Conceal(api.Type))}
}
