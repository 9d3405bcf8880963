package reward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = (*HTTP)(nil)

// HTTP asks a server of the user's own: each pair is one POST of
//
//	{"id": 7, "response": "…", "ground_truth": "…"}
//
// to its URL, answered 200 with
//
//	{"id": 7, "score": 0.5, "correct": true, "answer": "…"}   or   {"id": 7, "error": "…"}
//
// where id, correct (else: a score above 0) and answer may be missing. Any
// other status, a broken reply and no reply are errors, those that may pass
// tried again twice in a second or so; none is ever a wrong answer. Safe for
// concurrent use.
type HTTP struct {
	server *endpoint.Endpoint
	path   string
	retry  endpoint.Retry
	ids    atomic.Uint64
}

// maxVerdict bounds a reply, of a server or a command.
const maxVerdict = 1 << 20

// NewHTTP parses the URL, and sends nothing. Requests keep to conns connections.
func NewHTTP(address string, conns int) (*HTTP, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("verifier %q: not a URL", address)
	}
	path := u.EscapedPath()
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	if u.Host != "" { // else endpoint says what is wrong
		u.Path, u.RawPath, u.RawQuery = "", "", ""
	}
	server, err := endpoint.New(u.String(), endpoint.Options{MaxConns: conns, MaxReply: maxVerdict})
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	return &HTTP{server: server, path: path, retry: endpoint.Retry{Tries: 3, First: 250 * time.Millisecond, Patience: 10 * time.Second}}, nil
}

// Verify blocks until the server has answered, the tries are used up, or ctx ends.
func (h *HTTP) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	r := request{h.ids.Add(1), text, truth}
	var got reply
	err := h.retry.Do(ctx, func(ctx context.Context) error {
		got = reply{}
		return h.server.Do(ctx, http.MethodPost, h.path, r, &got)
	})
	if err == nil && len(got.ID) > 0 && string(got.ID) != "null" && !got.is(r.ID) {
		err = fmt.Errorf("it answers request %s, asked was %d", short(string(got.ID)), r.ID)
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", sampler.ErrVerifyTimeout, err)
		}
		return sampler.Score{}, fmt.Errorf("verifier: %w", err)
	}
	s, err := got.judgement()
	if err != nil {
		path, _, _ := strings.Cut(h.path, "?") // a query may have a key
		return s, fmt.Errorf("verifier %s%s: %w", h.server, path, err)
	}
	return s, nil
}

// Close closes idle connections.
func (h *HTTP) Close() error {
	h.server.Close()
	return nil
}
