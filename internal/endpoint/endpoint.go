// Package endpoint is a server's address and the one way to talk to it: base
// URL, key, TLS, a connection pool, exact JSON out, bounded JSON in, errors
// that say what happened and what to do, and retries with deadlines.
//
// It knows HTTP and JSON but no server's API: that is for the packages that
// use it (sampler, bridge, benchmarks).
package endpoint

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// DefaultMaxReply bounds a reply's body: 8 rollouts of 15,360 tokens with
// their log-probs are about 16 MiB as vLLM writes them.
const DefaultMaxReply = 256 << 20

// defaultMaxConns is the number of connections to one server: a batch of 256
// rows needs 256, a sweep at several temperatures a few thousand.
const defaultMaxConns = 4096

// idleTimeout is below the 5 s after which uvicorn (vLLM, SGLang) closes an
// idle connection: reusing one in that moment loses the request.
const idleTimeout = 3 * time.Second

// Options are an Endpoint's settings; the zero value is usable.
type Options struct {
	// APIKey is sent as a bearer token; "" sends none. It is never printed.
	APIKey string
	// Headers are sent with every request, beside the key: a gateway's tenant or
	// its own token. They are never printed either.
	Headers http.Header
	// TLS is the client's TLS configuration (own CA, client certificate); nil is the system's.
	TLS *tls.Config
	// MaxConns bounds the connections to the server; 0 is 4096.
	MaxConns int
	// MaxReply bounds a reply's body in bytes; 0 is [DefaultMaxReply].
	MaxReply int64
	// Transport replaces the connection pool, for tests; nil makes one.
	Transport http.RoundTripper
}

// Endpoint is one server. It is safe for concurrent use; all requests share
// one pool of connections.
type Endpoint struct {
	root *url.URL // without /v1 and trailing slash
	// auth adds the key to a request. A closure, so that no way of printing an
	// Endpoint can show it.
	auth     func(http.Header)
	hide     func(string) string // takes key and headers out of a text
	client   *http.Client
	maxReply int64
}

// New parses a server's address: http://host:port or https://…, with or
// without a path prefix, /v1 and a trailing slash. It sends nothing.
func New(address string, o Options) (*Endpoint, error) {
	root, err := parseRoot(address)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.APIKey, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, errors.New("API key: has a character that no key has: a blank, a line break, or one beyond ASCII")
	}
	if err := checkHeaders(o.Headers); err != nil {
		return nil, err
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.MaxReply == 0 {
		o.MaxReply = DefaultMaxReply
	}
	rt := o.Transport
	if rt == nil {
		rt = newTransport(o)
	}
	return &Endpoint{
		root:     root,
		auth:     authorize(o.APIKey, o.Headers.Clone()),
		hide:     concealer(o.APIKey, o.Headers),
		maxReply: o.MaxReply,
		client: &http.Client{
			Transport: rt,
			// A redirect would turn a POST into a GET and could carry the key to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func newTransport(o Options) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       o.TLS,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxConnsPerHost:       o.MaxConns,
		MaxIdleConns:          o.MaxConns,
		MaxIdleConnsPerHost:   o.MaxConns,
		IdleConnTimeout:       idleTimeout,
		ForceAttemptHTTP2:     true,
		ExpectContinueTimeout: time.Second,
	}
}

func parseRoot(address string) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) {
		return nil, fmt.Errorf("server address %q: %s; write it as http://host:port", redact(address), why)
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil:
		return bad("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("neither http:// nor https://")
	case u.Hostname() == "":
		return bad("no host")
	case u.User != nil:
		return bad("has a user or password in it (give a key with --api-key or JUSTRL_API_KEY)")
	case !rightPort(u.Port()):
		return bad("its port is none: from 1 to 65535")
	case strings.ContainsAny(address, "?#"):
		return bad("has a query or fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, "/v1"), "/")
	u.RawPath = ""
	return u, nil
}

func rightPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && n > 0 && n < 1<<16
}

// Redact hides what may be a password or a key in an address that is refused:
// such addresses must not be shown as they are.
func Redact(address string) string { return redact(address) }

// redact hides what may be a password or a key in an address that is refused.
func redact(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	}
	query := ""
	if cut := strings.IndexAny(rest, "?#"); cut >= 0 {
		rest, query = rest[:cut], rest[cut:]
	}
	switch at := strings.LastIndex(rest, "@"); {
	case strings.Contains(query, "@"): // a password may have a ? in it, and a query an @
		rest = "…"
	case at >= 0:
		rest = "…@" + rest[at+1:]
	}
	if query != "" {
		rest += query[:1] + "…"
	}
	if found {
		return scheme + "://" + rest
	}
	return rest
}

// URL is the server's root, without /v1 and without a trailing slash.
func (e *Endpoint) URL() string { return e.root.String() }

// Loopback tells whether the server is on this machine, as far as its address says.
func (e *Endpoint) Loopback() bool {
	host := e.root.Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// String is [Endpoint.URL]; it never shows the key.
func (e *Endpoint) String() string { return e.URL() }

// Close closes the idle connections. Requests under way end by their own contexts.
func (e *Endpoint) Close() { e.client.CloseIdleConnections() }

func authorize(key string, headers http.Header) func(http.Header) {
	return func(h http.Header) {
		for name, values := range headers {
			h[name] = values
		}
		if key != "" {
			h.Set("Authorization", "Bearer "+key)
		}
	}
}

// ours are the headers that a request's own body and connection decide over.
var ours = []string{"Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Accept", "Accept-Encoding", "Upgrade", "Te", "Trailer"}

// checkHeaders never shows a value: it may be a secret.
func checkHeaders(headers http.Header) error {
	for name, values := range headers {
		switch {
		case name == "" || name != http.CanonicalHeaderKey(name) || strings.ContainsFunc(name, func(c rune) bool {
			return c != '-' && !unicode.IsDigit(c) && !unicode.IsLetter(c) || c > unicode.MaxASCII
		}):
			return fmt.Errorf("header %q: not the name of a header: letters, digits and hyphens", name)
		case slices.Contains(ours, name):
			return fmt.Errorf("header %s: is set by the program itself", name)
		case slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, unicode.IsControl) }):
			return fmt.Errorf("header %s: its value has characters that no header can have", name)
		}
	}
	return nil
}
