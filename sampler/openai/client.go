// Package openai talks to any OpenAI-compatible server about what all of them
// have: the list of models, and chat, whole or streamed. Chat goes through go-openai.
//
// go-openai leaves out fields whose value is zero, so that temperature 0
// silently becomes the server's default. Requests of this package are
// therefore written by itself, every field present, and handed to go-openai's
// HTTP client as the body to send. Token-in / token-out, which go-openai
// cannot do, is sampler/vllm's.
package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/goccy/go-json"
	goopenai "github.com/sashabaranov/go-openai"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Client is one server. It is safe for concurrent use.
type Client struct {
	c     *goopenai.Client
	e     *endpoint.Endpoint
	retry endpoint.Retry
	plain atomic.Bool // the server refuses extensions
}

const chatPath = "/v1/chat/completions"

// New makes a Client; it sends nothing. The zero Retry is the default.
func New(e *endpoint.Endpoint, retry endpoint.Retry) *Client {
	cfg := goopenai.DefaultConfig("") // the endpoint adds the key
	cfg.BaseURL = e.URL() + "/v1"
	cfg.EmptyMessagesLimit = 1 << 20 // of lines without data in a row: some servers send them while nothing happens
	cfg.HTTPClient = doer{e, endpoint.DefaultMaxReply}
	return &Client{c: goopenai.NewClientWithConfig(cfg), e: e, retry: retry}
}

// Model is one entry of a server's list.
type Model struct {
	ID      string // the name to ask for
	Root    string // what it was loaded from; "" if the server does not say
	Parent  string // the base model of an adapter, else ""
	OwnedBy string
	// MaxModelLen is the context in tokens, prompt and answer together; 0 if the server does not say.
	MaxModelLen int
}

// Models lists what the server serves, in its own order.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var models []Model
	err := c.retry.Do(ctx, func(ctx context.Context) error {
		var list struct { // go-openai's has no context
			Data []struct {
				ID          string `json:"id"`
				Root        string `json:"root"`
				Parent      string `json:"parent"`
				OwnedBy     string `json:"owned_by"`
				MaxModelLen int    `json:"max_model_len"`
			} `json:"data"`
		}
		if err := c.e.Do(ctx, http.MethodGet, "/v1/models", nil, &list); err != nil {
			return err
		}
		models = make([]Model, len(list.Data))
		for i, m := range list.Data {
			models[i] = Model(m)
		}
		return nil
	})
	var reply *endpoint.ReplyError
	if endpoint.Missing(err) || errors.As(err, &reply) && !endpoint.Retryable(err) { // any web server answers so
		err = fmt.Errorf("%w: this is no inference server, or not its address: check host, port and path (the address is what comes before /v1)", err)
	}
	return models, err
}

// Choose finds the model that is called want in a server's list; "" is its
// only base model. It gives the names, base models first, and those of the
// adapters among them too. A list without it gives a [*sampler.CannotError] about url.
func Choose(models []Model, want, url string) (chosen Model, names, adapters []string, err error) {
	for _, m := range models {
		if m.Parent != "" {
			adapters = append(adapters, m.ID)
			continue
		}
		names = append(names, m.ID)
	}
	if len(models) == 0 {
		return Model{}, nil, nil, &sampler.CannotError{URL: url, What: "lists no model at /v1/models", Hint: "load one, or check the address"}
	}
	base := len(names)
	names = append(names, adapters...)
	list := strings.Join(names, ", ")
	if want == "" {
		if base != 1 {
			return Model{}, nil, nil, &sampler.CannotError{URL: url, What: fmt.Sprintf("serves %d models (%s)", base, list), Hint: "name one with --served-model"}
		}
		want = names[0]
	}
	at := slices.IndexFunc(models, func(m Model) bool { return m.ID == want })
	if at < 0 {
		return Model{}, nil, nil, &sampler.CannotError{URL: url, What: fmt.Sprintf("does not serve %q", want), Hint: "it serves " + list}
	}
	return models[at], names, adapters, nil
}

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// ChatRequest is sent whole: no field is left out because it is zero.
type ChatRequest struct {
	Model       string    `json:"model"`
	Messages    []Message `json:"messages"`
	N           int       `json:"n"`
	Temperature float64   `json:"temperature"`
	TopP        float64   `json:"top_p"`
	MaxTokens   int       `json:"max_tokens"`
	Seed        int64     `json:"seed"`
	Stop        []string  `json:"stop"`
	*Extensions           // nil sends none
}

// ChatChoice is one answer.
type ChatChoice struct {
	Text         string
	FinishReason string
}

// Chat returns exactly r.N answers, in the order of their index.
func (c *Client) Chat(ctx context.Context, r ChatRequest) ([]ChatChoice, error) {
	var choices []ChatChoice
	err := c.retry.Do(ctx, func(ctx context.Context) error {
		return c.send(ctx, r, func(r ChatRequest) any { return r }, func(ctx context.Context) error {
			reply, err := c.c.CreateChatCompletion(ctx, goopenai.ChatCompletionRequest{})
			if err == nil {
				choices, err = chatChoices(r.N, reply.Choices)
			}
			return err
		})
	})
	return choices, err
}

// send checks r and has ask send what body makes of it. Where the server knows
// no extensions, r goes without.
//
// The body that go-openai makes is replaced: with the model's name in it, it
// would refuse those that OpenAI has no chat for.
func (c *Client) send(ctx context.Context, r ChatRequest, body func(ChatRequest) any, ask func(context.Context) error) error {
	if r.Model == "" || len(r.Messages) == 0 || r.N < 1 || r.MaxTokens < 1 {
		return errors.New("openai: chat: model, messages, n ≥ 1 and max_tokens ≥ 1 are needed")
	}
	if r.Stop == nil {
		r.Stop = []string{}
	}
	for {
		if c.plain.Load() {
			r.Extensions = nil
		}
		b, err := json.MarshalWithOption(body(r), json.DisableHTMLEscape())
		if err != nil {
			return fmt.Errorf("openai: chat: encode request: %w", err)
		}
		err = ask(withBody(ctx, b))
		switch {
		case err == nil:
			return nil
		case r.Extensions == nil || !refusesExtensions(err):
			return c.fail(ctx, http.MethodPost, chatPath, err)
		}
		c.plain.Store(true)
	}
}

func chatChoices(n int, got []goopenai.ChatCompletionChoice) ([]ChatChoice, error) {
	if len(got) != n {
		return nil, fmt.Errorf("%d choices, asked for %d", len(got), n)
	}
	out := make([]ChatChoice, n)
	seen := make([]bool, n)
	for _, c := range got {
		if c.Index < 0 || c.Index >= n || seen[c.Index] {
			return nil, fmt.Errorf("choice index %d is out of range or there twice", c.Index)
		}
		seen[c.Index] = true
		out[c.Index] = ChatChoice{Text: c.Message.Content, FinishReason: string(c.FinishReason)}
	}
	return out, nil
}

// fail makes what go-openai says about a 2xx reply a typed error of ours, or
// ctx's cause if that is why the reply could not be read; the endpoint's own
// errors pass.
func (c *Client) fail(ctx context.Context, method, path string, err error) error {
	var status *endpoint.StatusError
	var unreachable *endpoint.UnreachableError
	if errors.As(err, &status) || errors.As(err, &unreachable) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s %s: %w", method, c.e.URL()+path, cause)
	}
	return &endpoint.ReplyError{Method: method, URL: c.e.URL() + path, Err: err}
}

type bodyKey struct{}

func withBody(ctx context.Context, body []byte) context.Context {
	return context.WithValue(ctx, bodyKey{}, body)
}

// doer is go-openai's HTTP client: it puts our body in the place of
// go-openai's, and bounds the reply, which go-openai does not.
type doer struct {
	e     *endpoint.Endpoint
	limit int64 // bytes
}

func (d doer) Do(req *http.Request) (*http.Response, error) {
	if body, ok := req.Context().Value(bodyKey{}).([]byte); ok {
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.ContentLength = int64(len(body))
	}
	resp, err := d.e.Send(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, d.limit)
	return resp, nil
}
