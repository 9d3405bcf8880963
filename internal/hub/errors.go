package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/endpoint"
)

// RefusedError is a server's no, with what to do about it.
type RefusedError struct {
	Status *endpoint.StatusError
	Hint   string // lower case, without a full stop
}

func (e *RefusedError) Error() string {
	s := e.Status
	return fmt.Sprintf("%s %s: %d: %s: %s", s.Method, s.URL, s.Status, s.Message, e.Hint)
}

func (e *RefusedError) Unwrap() error { return e.Status }

// OfflineError says that something is not in the cache and may not be fetched.
type OfflineError struct {
	What  string
	Where string // folder
	Err   error  // why it was not fetched: nil if the client is offline
}

func (e *OfflineError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s is not in the cache %s, and cannot be fetched: %v", e.What, e.Where, e.Err)
	}
	return fmt.Sprintf("%s is not in the cache %s, and HF_HUB_OFFLINE is set: unset it to fetch it", e.What, e.Where)
}

func (e *OfflineError) Unwrap() error { return e.Err }

// ChecksumError is a file that is not what it should be.
type ChecksumError struct {
	File      string // path or URL
	Algorithm string // sha256, or git's sha1
	Want, Got string // hexadecimal
	Hint      string // what to do
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: has the %s %s, not %s: %s", e.File, e.Algorithm, e.Got, e.Want, e.Hint)
}

// stallError is the cause that ends a request without news, or with too little.
type stallError struct {
	after time.Duration
	came  int64 // bytes in that time
	least int64 // bytes a second that would do; 0 if nothing came
}

func (e *stallError) Error() string {
	if e.least == 0 {
		return fmt.Sprintf("not a byte for %s", e.after)
	}
	return fmt.Sprintf("stalled: %d bytes in %s are %.3g a second, less than %d", e.came, e.after.Round(time.Second), float64(e.came)/e.after.Seconds(), e.least)
}

// cutError is a body that ended before its end.
type cutError struct {
	have, size int64 // bytes; size is -1 if nobody knows
	err        error
}

func (e *cutError) Error() string {
	if e.size < 0 {
		return fmt.Sprintf("cut short after %d bytes: %v", e.have, e.err)
	}
	return fmt.Sprintf("cut short after %d of %d bytes: %v", e.have, e.size, e.err)
}

// Unwrap makes it retryable, whatever the protocol calls it.
func (e *cutError) Unwrap() []error { return []error{io.ErrUnexpectedEOF, e.err} }

const networkHint = "check the network, a proxy between (HTTPS_PROXY) and the address"

// unreachable is a request that got no answer, in the words of package endpoint.
func unreachable(req *http.Request, err error) error {
	if cause := context.Cause(req.Context()); cause != nil {
		return fmt.Errorf("%s %s: %w", req.Method, bare(req.URL.String()), cause)
	}
	err = endpoint.TransportError(req, err)
	var un *endpoint.UnreachableError
	if errors.As(err, &un) {
		un.URL = bare(un.URL)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			un.Hint = networkHint // nobody here has its log
		}
	}
	return err
}

// bare is an address without its query, which is a signature where the hub
// redirects to, and without a user and their password.
func bare(address string) string {
	s, _, _ := strings.Cut(address, "?")
	u, err := url.Parse(s)
	if err != nil || u.User == nil && u.Fragment == "" {
		return s
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u.String()
}

// refused reads a reply outside 2xx. hint says what to do.
func refused(req *http.Request, resp *http.Response, hint func(*endpoint.StatusError, string) string) error {
	e := endpoint.NewStatusError(req, resp)
	e.URL = bare(e.URL)
	if msg := endpoint.OneLine(resp.Header.Get("X-Error-Message")); msg != "" {
		e.Message = msg
	} else if isPage(resp) {
		e.Message = http.StatusText(e.Status) // a page is no explanation
	}
	return &RefusedError{Status: e, Hint: hint(e, resp.Header.Get("X-Error-Code"))}
}

// hubHint is what to do about the hub's refusals.
func hubHint(e *endpoint.StatusError, code string) string {
	switch {
	case code == "GatedRepo":
		return "its owner lets in whom they know: accept the terms on its page, and set HF_TOKEN to a token of that account"
	case code == "RevisionNotFound":
		return "there is no such revision; check --revision"
	case code == "EntryNotFound":
		return "there is no such file in that revision"
	case code == "RepoNotFound" || e.Status == http.StatusNotFound:
		return "check the id and --type (model or dataset); a private one needs HF_TOKEN"
	case e.Status == http.StatusUnauthorized:
		return "check the id and --type (model or dataset); a private one needs HF_TOKEN, and a wrong HF_TOKEN opens nothing"
	case e.Status == http.StatusForbidden:
		return "set HF_TOKEN to a token that may read it"
	}
	return busyHint(e, "")
}

// busyHint is what to do about the refusals of any server.
func busyHint(e *endpoint.StatusError, _ string) string {
	switch {
	case e.Status == http.StatusTooManyRequests:
		return "wait a while, and run it again: what has come is kept"
	case e.Status >= 500:
		return "the server is in trouble; run it again later: what has come is kept"
	}
	return "check the address"
}

// isPage tells a web page, which is what proxies and log-ins put in place of a file.
func isPage(resp *http.Response) bool {
	return strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html")
}

// unwritable says what to do about a folder that cannot be written.
func unwritable(folder, move string, err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s cannot be written; %s: %w", folder, move, err)
	}
	return err
}
