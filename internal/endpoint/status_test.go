package endpoint

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestStatusErrorShapes(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   StatusError
		retry  bool
	}{
		{"vLLM's object", 400, nil, `{"error":{"message":"temperature must be non-negative, got -1.0.","type":"BadRequestError","param":"temperature","code":400}}`,
			StatusError{Message: "temperature must be non-negative, got -1.0.", Type: "BadRequestError", Param: "temperature"}, false},
		{"vLLM's object, param null, lines folded", 400, nil, `{"error":{"message":"1 validation error:\n  {'type': 'missing'}","type":"Bad Request","param":null,"code":400}}`,
			StatusError{Message: "1 validation error: {'type': 'missing'}", Type: "Bad Request"}, false},
		{"wrong model", 404, nil, `{"error":{"message":"The model ` + "`nope`" + ` does not exist.","type":"NotFoundError","param":"model","code":404}}`,
			StatusError{Message: "The model `nope` does not exist.", Type: "NotFoundError", Param: "model"}, false},
		{"error as a string", 401, nil, `{"error":"Unauthorized"}`, StatusError{Message: "Unauthorized"}, false},
		{"detail as a string", 404, nil, `{"detail":"Not Found"}`, StatusError{Message: "Not Found"}, false},
		{"detail as a list", 422, nil, `{"detail":[{"loc":["body","n"],"msg":"bad"}]}`, StatusError{Message: `[{"loc":["body","n"],"msg":"bad"}]`}, false},
		{"SGLang's message", 400, nil, `{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}`, StatusError{Message: "too long"}, false},
		{"a proxy's page", 502, nil, "<html>\r\n<h1>Bad Gateway</h1>\r\n</html>", StatusError{Message: "<html> <h1>Bad Gateway</h1> </html>"}, true},
		{"a page with a title", 404, nil, "<html>\n<head><title> 404 Not\nFound &amp; gone </title></head>\n<body>x</body></html>", StatusError{Message: "a web page: 404 Not Found & gone"}, false},
		{"empty", 503, nil, "", StatusError{Message: "Service Unavailable"}, true},
		{"empty and unknown", 599, nil, "", StatusError{Message: "no explanation"}, false},
		{"null error", 500, nil, `{"error":null}`, StatusError{Message: `{"error":null}`}, true},
		{"busy, with seconds", 429, map[string]string{"Retry-After": "7"}, `{"error":"slow down"}`, StatusError{Message: "slow down", RetryAfter: 7 * time.Second}, true},
		{"nonsense Retry-After", 503, map[string]string{"Retry-After": "soon"}, `x`, StatusError{Message: "x"}, true},
		{"negative Retry-After", 503, map[string]string{"Retry-After": "-3"}, `x`, StatusError{Message: "x"}, true},
		{"gateway timeout", 504, nil, `x`, StatusError{Message: "x"}, true},
		{"a worker's failure", 500, nil, `{"error":{"message":"Call to collective_rpc method failed","type":"InternalServerError","param":null,"code":500}}`,
			StatusError{Message: "Call to collective_rpc method failed", Type: "InternalServerError"}, true},
		{"dead engine", 500, nil, `{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}}`,
			StatusError{Message: "EngineCore encountered an issue. See stack trace (above) for the root cause.", Type: "InternalServerError"}, false},
		{"forbidden", 403, nil, `{"error":{"message":"Scale-out endpoints are disabled.","type":"PermissionDeniedError","param":null,"code":403}}`,
			StatusError{Message: "Scale-out endpoints are disabled.", Type: "PermissionDeniedError"}, false},
		{"what a terminal obeys", 400, nil, "a\x1b[31mred\x1b[0m \u009b2J\u202e\x00b\a", StatusError{Message: "a [31mred [0m 2J b"}, false},
		{"it, in JSON", 400, nil, `{"error":"\u001b]0;title\u0007x"}`, StatusError{Message: "]0;title x"}, false},
		{"redirect with a query", 302, map[string]string{"Location": "https://me:pw@sso/login?state=secret#x"}, "", StatusError{Message: "redirects to https://sso/login?…"}, false},
		{"redirect on the same host", 302, map[string]string{"Location": "/login"}, "", StatusError{Message: "redirects to /login"}, false},
		{"redirect", 307, map[string]string{"Location": "https://elsewhere/v1"}, "", StatusError{Message: "redirects to https://elsewhere/v1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			err := e.Do(t.Context(), http.MethodPost, "/v1/completions", 1, nil)
			var got *StatusError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a StatusError", err)
			}
			c.want.Method, c.want.URL, c.want.Status = http.MethodPost, e.URL()+"/v1/completions", c.status
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if Retryable(err) != c.retry {
				t.Errorf("Retryable = %v, want %v", !c.retry, c.retry)
			}
			if s := err.Error(); strings.ContainsAny(s, "\r\n") || !strings.Contains(s, c.want.Message) || !strings.Contains(s, got.URL) {
				t.Errorf("error text %q", s)
			}
		})
	}
}

func TestRetryAfterDate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for h, want := range map[string]time.Duration{
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0, // past
		"99999999999":                   24 * time.Hour,
		"Fri, 02 Jan 2099 03:04:35 GMT": 24 * time.Hour,
		"":                              0,
	} {
		if got := retryAfter(h, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", h, got, want)
		}
	}
}

func FuzzStatusErrorParse(f *testing.F) {
	for _, s := range []string{"", "{", `{"error":{"message":"m","type":1}}`, `{"error":"x"}`, `{"detail":[1]}`, `{"message":{}}`, "\xff\xfe", `{"error":{}}`, `[]`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var e StatusError
		e.parse(body)
		if strings.ContainsAny(e.Message, "\r\n") || !utf8.ValidString(e.Message) {
			t.Errorf("message %q is not one line of UTF-8", e.Message)
		}
		if utf8.RuneCountInString(e.Message) > 501 {
			t.Errorf("message has %d characters", utf8.RuneCountInString(e.Message))
		}
	})
}
