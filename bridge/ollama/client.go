package ollama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/endpoint"
)

// client is Ollama's own over an endpoint's connections.
type client struct {
	*api.Client
	e   *endpoint.Endpoint
	url string
}

func newClient(e *endpoint.Endpoint) (*client, error) {
	root, err := url.Parse(e.URL())
	if err != nil {
		return nil, err
	}
	return &client{api.NewClient(root, endpoint.Through(e)), e, e.URL()}, nil
}

var errCut = io.ErrUnexpectedEOF

// quick has a call tried that a server in order answers at once.
func (c *client) quick(ctx context.Context, path string, op func(context.Context) error) error {
	return c.within(ctx, callLimit, path, op)
}

// long has a call tried that only ctx bounds.
func (c *client) long(ctx context.Context, path string, op func(context.Context) error) error {
	return c.within(ctx, 0, path, op)
}

// within: all that go through here can be sent again without harm.
func (c *client) within(ctx context.Context, limit time.Duration, path string, op func(context.Context) error) error {
	return endpoint.Retry{Tries: 4, Patience: 30 * time.Second, Attempt: limit}.Do(ctx, func(ctx context.Context) error {
		if err := op(ctx); err != nil {
			return c.failed(ctx, path, err)
		}
		return nil
	})
}

// failed puts an error of Ollama's client into the endpoint's words: what is not the
// endpoint's own is what the server said in the middle of a reply, or a file's.
func (c *client) failed(ctx context.Context, path string, err error) error {
	var status *endpoint.StatusError
	var un *endpoint.UnreachableError
	var file *fs.PathError
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &status), errors.As(err, &un):
		return endpoint.Own(err)
	case errors.As(err, &file):
		return err
	case cause != nil:
		return fmt.Errorf("%s: %w", c.url+path, cause)
	}
	return &endpoint.ReplyError{Method: http.MethodPost, URL: c.url + path, Err: err}
}
