package endpoint

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v5"
	"github.com/goccy/go-json"
)

// maxErrorBody bounds what is read of an error reply.
const maxErrorBody = 64 << 10

// StatusError is a reply outside 2xx, parsed from the shapes that vLLM,
// SGLang, FastAPI and proxies use.
type StatusError struct {
	Method  string
	URL     string
	Status  int
	Message string // the server's own words; never empty
	Type    string // such as BadRequestError; "" if it gave none
	Param   string // the request's field that was at fault; "" if it gave none
	// RetryAfter is the server's wish; 0 if it gave none.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d: %s", e.Method, e.URL, e.Status, e.Message)
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		s += " (is the API key right?)"
	case e.Status == http.StatusBadRequest && strings.HasPrefix(e.URL, "http://") && strings.Contains(e.Message, "HTTPS"):
		s += " (it speaks TLS: use https://)"
	case e.Status >= 300 && e.Status < 400:
		s += " (redirects are not followed: use the address that the server redirects to)"
	}
	return s
}

// As offers Retry-After to backoff, which then waits that long.
func (e *StatusError) As(target any) bool {
	t, ok := target.(**backoff.RetryAfterError)
	if ok && e.RetryAfter > 0 {
		*t = &backoff.RetryAfterError{Duration: e.RetryAfter}
		return true
	}
	return false
}

// Dead tells whether the server reported that its engine has died: it will
// refuse connections next, and no retry helps until it is started again.
func (e *StatusError) Dead() bool {
	return e.Status == http.StatusInternalServerError &&
		(strings.Contains(e.Message, "EngineCore encountered") || strings.Contains(e.Message, "EngineDead"))
}

func (e *StatusError) retryable() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return !e.Dead()
	}
	return false
}

// NewStatusError reads a reply outside 2xx, for clients that have an
// http.Client of their own. The caller closes the body.
func NewStatusError(req *http.Request, resp *http.Response) *StatusError {
	return newStatusError(req, resp, func(s string) string { return s })
}

// newStatusError has hide take out of the server's words what must not be shown.
func newStatusError(req *http.Request, resp *http.Response, hide func(string) string) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a cut error body is still an error
	e := &StatusError{
		Method: req.Method, URL: shown(req.URL), Status: resp.StatusCode,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	e.parse([]byte(hide(string(body)))) // before anything of it is cut
	e.Message, e.Type, e.Param = hide(e.Message), hide(e.Type), hide(e.Param)
	if loc := resp.Header.Get("Location"); loc != "" && resp.StatusCode < 400 {
		e.Message = OneLine("redirects to " + hide(target(loc)))
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	if e.Message == "" {
		e.Message = "no explanation"
	}
	return e
}

// target is where a redirect leads, without what may be a key there.
func target(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "what is no URL"
	}
	u.User, u.Fragment = nil, ""
	return shown(u)
}

// pageTitle is the title of a web page.
var pageTitle = regexp.MustCompile(`(?is)^\s*<.*<title[^>]*>\s*([^<]*[^<\s])\s*</title>`)

// parse reads, in this order: {"error":{"message","type","param"}},
// {"error":"text"}, {"message":"text"}, {"detail":"text" or anything}, and
// the title of a web page, and any other body as text.
func (e *StatusError) parse(body []byte) {
	var shape struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &shape) == nil {
		var object struct {
			Message string  `json:"message"`
			Type    *string `json:"type"`
			Param   *string `json:"param"`
		}
		if len(shape.Error) > 0 && json.Unmarshal(shape.Error, &object) == nil && object.Message != "" {
			e.Message = OneLine(object.Message)
			if object.Type != nil {
				e.Type = *object.Type
			}
			if object.Param != nil {
				e.Param = *object.Param
			}
			return
		}
		for _, raw := range []json.RawMessage{shape.Error, shape.Message, shape.Detail} {
			var text string
			switch {
			case len(raw) == 0 || string(raw) == "null":
				continue
			case json.Unmarshal(raw, &text) == nil:
				e.Message = OneLine(text)
			default:
				e.Message = OneLine(string(raw))
			}
			if e.Message != "" {
				return
			}
		}
	}
	if m := pageTitle.FindSubmatch(body); m != nil {
		e.Message = OneLine("a web page: " + html.UnescapeString(string(m[1])))
		return
	}
	e.Message = OneLine(string(body))
}

// OneLine folds white space and cuts a server's words, so that an error stays one line
// of a log. What a terminal would obey and not show (escapes, text that runs
// backwards) is left out.
func OneLine(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// retryAfter reads both forms of the header: seconds and an HTTP date.
func retryAfter(h string, now time.Time) time.Duration {
	if h == "" {
		return 0
	}
	const most = 24 * time.Hour
	if s, err := strconv.Atoi(h); err == nil {
		return max(0, min(time.Duration(s), most/time.Second)) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return max(0, min(t.Sub(now), most))
	}
	return 0
}
