package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/justrl/justrl/internal/endpoint"
)

// maxHops bounds the redirects of one request.
const maxHops = 8

// request is one HTTP request with its redirects.
type request struct {
	method, url string
	header      http.Header
	hint        func(*endpoint.StatusError, string) string
	// public sends no token, wherever it goes.
	public bool
	// home ends the request at a redirect that leaves the hub's origin: the reply is that redirect.
	home bool
	// seen, when set, looks at every reply below 400; true ends the request there,
	// redirect or not.
	seen func(*http.Response) bool
}

// send follows redirects by itself: net/http would take the token along to
// another port of the host, and to its subdomains. A request that has left the
// hub's origin has no token even if it is led back: by then a stranger says where
// to. It returns a reply of 2xx, or the redirect that home or seen wanted; the
// caller closes it. ctx is a [watch]'s.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	at, away := r.url, r.public
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
		if away = away || !sameOrigin(req.URL, c.root); !away {
			c.auth(req)
		}
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
		switch {
		case next == nil:
			err = refused(req, resp, r.hint)
		case r.home && !sameOrigin(next, c.root):
			return resp, nil
		case req.URL.Scheme == "https" && next.Scheme == "http":
			err = &endpoint.ReplyError{Method: r.method, URL: bare(at), Err: fmt.Errorf("redirects from https to %s, where anybody between could read and change it: check the address and any proxy between", bare(next.String()))}
		}
		discard(resp)
		if err != nil {
			return nil, err
		}
		at = next.String()
	}
	return nil, &endpoint.ReplyError{Method: r.method, URL: bare(r.url), Err: fmt.Errorf("redirects more than %d times", maxHops)}
}

// location is where a redirect leads; nil if resp is none. On an error resp is closed.
func location(req *http.Request, resp *http.Response) (*url.URL, error) {
	to := resp.Header.Get("Location")
	if resp.StatusCode < 300 || resp.StatusCode > 399 || to == "" {
		return nil, nil
	}
	u, err := req.URL.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		discard(resp)
		return nil, &endpoint.ReplyError{Method: req.Method, URL: bare(req.URL.String()), Err: errors.New("redirects to what is no web address")}
	}
	return u, nil
}

// discard reads a little of what is left, so that the connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // nothing is wanted of it
	_ = resp.Body.Close()
}
