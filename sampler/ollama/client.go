package ollama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/endpoint"
)

const generatePath = "/api/generate"

// client is Ollama's own over an endpoint's connections.
type client struct {
	*api.Client
	url string
}

func newClient(e *endpoint.Endpoint) (*client, error) {
	root, err := url.Parse(e.URL())
	if err != nil {
		return nil, err
	}
	return &client{api.NewClient(root, endpoint.Through(e)), e.URL()}, nil
}

// generate sends one request, with o's retries, and gives its whole answer.
func (c *client) generate(ctx context.Context, o Options, r *api.GenerateRequest) (*api.GenerateResponse, error) {
	var reply *api.GenerateResponse
	err := o.Retry.Do(ctx, func(ctx context.Context) error {
		reply = nil
		err := c.Generate(ctx, r, func(got api.GenerateResponse) error {
			reply = &got
			return nil
		})
		if err != nil {
			return c.failed(ctx, generatePath, err)
		}
		if reply == nil || !reply.Done { // Ollama's client takes a cut connection for the end
			return c.failed(ctx, generatePath, io.ErrUnexpectedEOF)
		}
		if reply.DoneReason != "stop" && reply.DoneReason != "length" {
			return c.badReply(generatePath, fmt.Errorf("done_reason %q is neither stop nor length", reply.DoneReason))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// failed puts an error of Ollama's client into the endpoint's words: what is not the
// endpoint's own is about the reply.
func (c *client) failed(ctx context.Context, path string, err error) error {
	var status *endpoint.StatusError
	var un *endpoint.UnreachableError
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &status), errors.As(err, &un):
		return endpoint.Own(err)
	case cause != nil:
		return fmt.Errorf("%s %s: %w", http.MethodPost, c.url+path, cause)
	}
	return c.badReply(path, err)
}

func (c *client) badReply(path string, err error) error {
	return &endpoint.ReplyError{Method: http.MethodPost, URL: c.url + path, Err: err}
}
