package hub

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/endpoint"
)

// DefaultEndpoint is the public hub.
const DefaultEndpoint = "https://huggingface.co"

// Options are a Client's settings. [FromEnv] fills them as Python's
// huggingface_hub does; the zero value has no cache and serves [Client.Download] alone.
type Options struct {
	// Endpoint is the hub's address; "" is [DefaultEndpoint].
	Endpoint string
	// Token is sent to the hub's own address and to no other; "" sends none. It is never printed.
	Token string
	// Cache is the folder of huggingface_hub's cache. It is made when something is fetched.
	Cache string
	// Offline sends nothing: what is not in the cache is an [OfflineError].
	Offline bool
	// Stall is how long a transfer may be without a byte; 0 is 30 s.
	Stall time.Duration
	// Slowest is the rate, in bytes a second over a time of Stall at least, below
	// which a transfer counts as stalled although bytes come; 0 is 1024.
	Slowest int64
	// Retry is for what fails without having brought anything; see [endpoint.Retry].
	// Its Notify is set by the Client.
	Retry endpoint.Retry
	// Parallel is how many files of a snapshot are fetched at a time; 0 is 4.
	Parallel int
	// Progress, when set, is told of every file's bytes, from several goroutines.
	Progress func(Progress)
	// Notice, when set, is told in a sentence what a user may want to know: a
	// failure that is tried again, a wait for another process.
	Notice func(string)
	// Transport replaces the connection pool, for tests; nil makes one.
	Transport http.RoundTripper
}

// Progress is how far a file is.
type Progress struct {
	File  string // its path in the repository, or its URL
	Done  int64  // bytes on the disk
	Total int64  // bytes; -1 if nobody knows
}

// FromEnv reads what huggingface_hub reads: HF_ENDPOINT, HF_TOKEN (else the file
// that `hf auth login` wrote), HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE,
// HF_HUB_DOWNLOAD_TIMEOUT (seconds).
func FromEnv(getenv func(string) string) (Options, error) {
	o := Options{Endpoint: getenv("HF_ENDPOINT")}
	home := expand(getenv("HF_HOME"), getenv)
	if home == "" {
		base := getenv("XDG_CACHE_HOME")
		if base == "" && getenv("HOME") != "" {
			base = filepath.Join(getenv("HOME"), ".cache")
		}
		if base != "" {
			home = filepath.Join(base, "huggingface")
		}
	}
	o.Cache = expand(first(getenv("HF_HUB_CACHE"), getenv("HUGGINGFACE_HUB_CACHE")), getenv)
	if o.Cache == "" && home != "" {
		o.Cache = filepath.Join(home, "hub")
	}
	if o.Cache == "" {
		return o, errors.New("set HOME, or HF_HUB_CACHE, to have a place for files of the Hugging Face hub")
	}
	var err error
	if o.Cache, err = filepath.Abs(o.Cache); err != nil {
		return o, err
	}
	if o.Offline, err = flag("HF_HUB_OFFLINE", getenv); err != nil {
		return o, err
	}
	if s := getenv("HF_HUB_DOWNLOAD_TIMEOUT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("HF_HUB_DOWNLOAD_TIMEOUT must be seconds, at least 1, is %q", s)
		}
		o.Stall = time.Duration(n) * time.Second
	}
	o.Token = token(home, getenv)
	return o, nil
}

// token is the environment's, else the one that `hf auth login` has kept.
func token(home string, getenv func(string) string) string {
	if t := strings.TrimSpace(first(getenv("HF_TOKEN"), getenv("HUGGING_FACE_HUB_TOKEN"))); t != "" {
		return t
	}
	if quiet, err := flag("HF_HUB_DISABLE_IMPLICIT_TOKEN", getenv); quiet || err != nil {
		return ""
	}
	path := expand(getenv("HF_TOKEN_PATH"), getenv)
	if path == "" && home != "" {
		path = filepath.Join(home, "token")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "" // nobody has logged in
	}
	return strings.TrimSpace(string(b))
}

// flag reads a switch. What is neither on nor off is an error: taken for off, an
// offline switch would let requests out.
func flag(name string, getenv func(string) string) (bool, error) {
	switch s := getenv(name); strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true, nil
	case "", "0", "OFF", "NO", "FALSE":
		return false, nil
	default:
		return false, fmt.Errorf("%s must be 1 or 0, is %q", name, s)
	}
}

func expand(path string, getenv func(string) string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		path = getenv("HOME") + path[1:]
	}
	return os.Expand(path, getenv)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Client fetches files. It is safe for concurrent use; all requests share one
// pool of connections.
type Client struct {
	o    Options
	root *url.URL
	// auth adds the token to a request. A closure, so that no way of printing a
	// Client can show it.
	auth  func(*http.Request)
	http  *http.Client
	flock func(fd, how int) error // unix.Flock; tests have file systems without
	// unlocked is for saying once, and not of every file, that there are no locks.
	unlocked sync.Once
}

// New checks the options. It sends and makes nothing.
func New(o Options) (*Client, error) {
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	root, err := url.Parse(strings.TrimRight(strings.TrimSpace(o.Endpoint), "/"))
	if err != nil || root.Scheme != "http" && root.Scheme != "https" || root.Hostname() == "" || root.User != nil || root.RawQuery != "" {
		return nil, errors.New("HF_ENDPOINT is not an address; write it as https://host, without a user or a query")
	}
	if strings.ContainsAny(o.Token, "\r\n") {
		return nil, errors.New("HF_TOKEN has a line break in it")
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Slowest == 0 {
		o.Slowest = 1 << 10
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	c := &Client{o: o, root: root, flock: unix.Flock}
	c.o.Retry.Notify = func(err error, wait time.Duration) {
		o.Notice(fmt.Sprintf("trying again in %s: %v", wait.Round(time.Second/10), err))
	}
	secret := o.Token
	c.o.Token = ""
	c.auth = func(r *http.Request) {
		if secret != "" && sameOrigin(r.URL, root) {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
	}
	rt := o.Transport
	if rt == nil {
		rt = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			IdleConnTimeout:     30 * time.Second,
			MaxIdleConnsPerHost: o.Parallel,
			ForceAttemptHTTP2:   true,
		}
	}
	// Redirects are followed in send, which knows whom the token is for.
	c.http = &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Offline tells whether the client may send nothing.
func (c *Client) Offline() bool { return c.o.Offline }

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// sameOrigin compares what a browser calls an origin: a token for one port of
// a host, or for https, is none for another.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
