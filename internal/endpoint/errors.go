package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// UnreachableError says that a server gave no answer at all: it may not run,
// may have died, or may not be where the address says.
type UnreachableError struct {
	Method string
	URL    string
	// Hint says what to do, lower case, without a full stop.
	Hint string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s %s: %v: %s", e.Method, e.URL, e.Err, e.Hint)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// ReplyError says that a server answered 2xx with something unusable: cut
// short, too long, not JSON, or against its own API.
type ReplyError struct {
	Method string
	URL    string
	Err    error
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s %s: bad reply: %v", e.Method, e.URL, e.Err)
}

func (e *ReplyError) Unwrap() error { return e.Err }

// TimeoutError is the cause of an attempt that took longer than [Retry.Attempt].
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no complete answer within %s: the server is overloaded, paused or hung; look at its log or raise the limit", e.After)
}

// Timeout makes it a net.Error in spirit.
func (e *TimeoutError) Timeout() bool { return true }

// GivenUpError says that a request kept failing until its context ended.
// Both errors are wrapped.
type GivenUpError struct {
	Tries int
	Last  error // the last failure
	Cause error // the context's
}

func (e *GivenUpError) Error() string {
	return fmt.Sprintf("%v (given up after %s: %v)", e.Last, count(e.Tries), e.Cause)
}

func (e *GivenUpError) Unwrap() []error { return []error{e.Last, e.Cause} }

func count(tries int) string {
	if tries == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", tries)
}

// Retryable tells whether the same request may succeed a moment later:
// connection failures, attempts that timed out, replies cut short, and the
// statuses that servers and proxies give when they are busy or starting.
func Retryable(err error) bool {
	var given *GivenUpError
	if errors.As(err, &given) {
		return Retryable(given.Cause) // an attempt's bound, of a Retry around it, may not be the end
	}
	var timeout *TimeoutError
	if errors.As(err, &timeout) {
		return true
	}
	var status *StatusError
	if errors.As(err, &status) {
		return status.retryable()
	}
	var reply *ReplyError
	if errors.As(err, &reply) {
		return cutShort(reply.Err)
	}
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return !permanent(unreachable.Err)
	}
	return false
}

// TransportError classifies a failure to get any reply, for clients that have
// an http.Client of their own: an [*UnreachableError], or the request's context's cause.
func TransportError(req *http.Request, err error) error {
	where := shown(req.URL)
	if cause := context.Cause(req.Context()); cause != nil {
		return fmt.Errorf("%s %s: %w", req.Method, where, cause)
	}
	var wrapped *url.Error // says method and URL again
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &UnreachableError{Method: req.Method, URL: where, Hint: hint(err, req.URL.Scheme), Err: err}
}

// shown is a URL as errors have it: without what its query says, which may be a key.
func shown(u *url.URL) string {
	if u.RawQuery == "" {
		return u.String()
	}
	v := *u
	v.RawQuery = ""
	return v.String() + "?…"
}

func hint(err error, scheme string) string {
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there; start the server, or look at its log if it was running"
	case errors.As(err, &dns):
		return "check the host's name"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS; use http://"
	case badCertificate(err):
		return certificateHint(err)
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return "the server does not speak plain HTTP; try https://"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "check the address and the route to it"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "check the address and any firewall between"
	case cutShort(err) && scheme == "http":
		return "the server closed the connection without an answer; look at its log, or use https:// if it speaks TLS"
	case cutShort(err):
		return "the server closed the connection without an answer; look at its log"
	default:
		return "check the address and the server's log"
	}
}

func certificateHint(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(err, &name):
		return "the server's certificate is for another name; use the name that it is for"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has to be renewed, if this machine's clock is right"
	}
	return "the server's certificate is not trusted; give its CA (--ca-file)"
}

// cutShort tells whether a connection ended before the reply did.
func cutShort(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED)
}

// permanent tells whether an unreachable server stays so until somebody changes something.
func permanent(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	return errors.Is(err, http.ErrSchemeMismatch) || badCertificate(err) ||
		strings.Contains(err.Error(), "malformed HTTP response")
}

func badCertificate(err error) bool {
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &hostname)
}

// StatusOf is the HTTP status of a refusal; 0 of any other error.
func StatusOf(err error) int {
	var s *StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// Missing tells whether a refusal says that there is no such route: 404 or 405.
func Missing(err error) bool {
	s := StatusOf(err)
	return s == http.StatusNotFound || s == http.StatusMethodNotAllowed
}

// NotSent tells whether a request cannot have reached any server: no connection
// came about.
func NotSent(err error) bool {
	var u *UnreachableError
	if !errors.As(err, &u) {
		return false
	}
	var dial *net.OpError
	var dns *net.DNSError
	return errors.As(u.Err, &dial) && dial.Op == "dial" || errors.As(u.Err, &dns) || errors.Is(u.Err, syscall.ECONNREFUSED)
}

// Unreachable tells whether no answer came at all: an [*UnreachableError] is in err's chain.
func Unreachable(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}
