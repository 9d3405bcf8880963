package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// maxHops bounds the redirects of one request.
const maxHops = 8

// request is one HTTP request with its redirects.
type request struct {
	method, url string
	header      http.Header
	hint        func(*endpoint.StatusError, string) string
	// seen, when set, looks at every reply below 400; true ends the request there,
	// redirect or not.
	seen func(*http.Response) bool
}

// send follows redirects by itself: net/http would take the token along to
// another port of the host, and to its subdomains. It returns a reply of 2xx, or
// the one that seen wanted; the caller closes it. ctx is a [watch]'s.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	at := r.url
	for range maxHops {
		req, err := http.NewRequestWithContext(ctx, r.method, at, nil)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, bare(at), err)
		}
		for k, v := range r.header {
			req.Header[k] = v
		}
		// A compressed reply has another length, and no ranges.
		req.Header.Set("Accept-Encoding", "identity")
		req.Header.Set("User-Agent", "justrl")
		c.auth(req)
		resp, err := c.http.Do(req)
		if err != nil {
			return nil, stalled(req, unreachable(req, err))
		}
		if resp.StatusCode < 400 && r.seen != nil && r.seen(resp) || resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return resp, nil
		}
		next, err := location(req, resp)
		if err != nil {
			return nil, err
		}
		if next == "" {
			err = refused(req, resp, r.hint)
		}
		discard(resp)
		if err != nil {
			return nil, err
		}
		at = next
	}
	return nil, &endpoint.ReplyError{Method: r.method, URL: bare(r.url), Err: fmt.Errorf("redirects more than %d times", maxHops)}
}

// location is where a redirect leads; "" if resp is none.
func location(req *http.Request, resp *http.Response) (string, error) {
	to := resp.Header.Get("Location")
	if resp.StatusCode < 300 || resp.StatusCode > 399 || to == "" {
		return "", nil
	}
	u, err := url.Parse(to)
	if err == nil {
		u = req.URL.ResolveReference(u)
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		discard(resp)
		return "", &endpoint.ReplyError{Method: req.Method, URL: bare(req.URL.String()), Err: errors.New("redirects to what is no web address")}
	}
	return u.String(), nil
}

// discard reads a little of what is left, so that the connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // nothing is wanted of it
	_ = resp.Body.Close()
}

// watch ends a request that brings nothing for a while.
type watch struct {
	timer *time.Timer
	after time.Duration
	stop  context.CancelCauseFunc
}

// watched is ctx with a watch over it, which the caller ends.
func (c *Client) watched(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{after: c.o.Stall, stop: cancel}
	w.timer = time.AfterFunc(w.after, func() { cancel(&stallError{w.after}) })
	return ctx, w
}

// news says that something has come.
func (w *watch) news() { w.timer.Reset(w.after) }

func (w *watch) end() {
	w.timer.Stop()
	w.stop(nil)
}

// stalled makes an outage of a request that its watch has ended: it can be sent
// again. Any other error stays what it is.
func stalled(req *http.Request, err error) error {
	var stall *stallError
	if errors.As(context.Cause(req.Context()), &stall) {
		return &endpoint.UnreachableError{Method: req.Method, URL: bare(req.URL.String()), Err: stall, Hint: networkHint}
	}
	return err
}
