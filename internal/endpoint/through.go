package endpoint

import (
	"errors"
	"net/http"
	"net/url"
)

// Through is an HTTP client for other people's API clients: what it sends goes
// over e's connections with e's key, and fails with this package's errors, a
// status outside 2xx included. See [Own] for what such a client makes of them.
func Through(e *Endpoint) *http.Client { return &http.Client{Transport: through{e}} }

type through struct{ e *Endpoint }

func (t through) RoundTrip(r *http.Request) (*http.Response, error) { return t.e.Send(r) }

// Own is this package's error without the *url.Error that an http.Client puts
// around it, which says method and URL again; any other error as it is.
func Own(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
