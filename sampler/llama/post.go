package llama

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/internal/endpoint"
)

// maxReply bounds a reply: the log-probs of a whole vocabulary of 152,000 are 20 MiB.
const maxReply = endpoint.DefaultMaxReply

// post is [endpoint.Endpoint.Do] on a connection that ends with the answer.
// llama-server gives every connection a thread for as long as it is open, and a
// burst of new ones can leave a request waiting for one of them to fall idle and
// close, three seconds on our side.
func post(ctx context.Context, e *endpoint.Endpoint, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("POST %s%s: encode request: %w", e.URL(), path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("POST %s%s: %w", e.URL(), path, err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := e.Send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read
	fail := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return &endpoint.ReplyError{Method: http.MethodPost, URL: e.URL() + path, Err: err}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return fail(err)
	}
	if len(b) > maxReply {
		return fail(fmt.Errorf("reply is over the limit of %d bytes", maxReply))
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fail(fmt.Errorf("not the JSON that was asked for: %w (body begins %s)", err, e.Quote(b)))
	}
	return nil
}
