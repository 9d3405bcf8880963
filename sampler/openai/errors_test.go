package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
)

// choices writes a chat reply out of (index, text) pairs.
func choices(pairs ...any) string {
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, fmt.Sprintf(`{"index":%v,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}`, pairs[i], pairs[i+1]))
	}
	return `{"id":"x","choices":[` + strings.Join(list, ",") + `]}`
}

func TestChatReplies(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []string // texts; nil for a ReplyError with what
		what       string
	}{
		{"in order", choices(0, "a", 1, "b", 2, "c"), []string{"a", "b", "c"}, ""},
		{"out of order", choices(2, "c", 0, "a", 1, "b"), []string{"a", "b", "c"}, ""},
		{"empty answers", choices(0, "", 1, "", 2, ""), []string{"", "", ""}, ""},
		{"content null, as of a reasoning parser", strings.Replace(choices(0, "a", 1, "b", 2, "c"), `"b"`, `null`, 1), []string{"a", "", "c"}, ""},
		{"one missing", choices(0, "a", 2, "c"), nil, "2 choices, asked for 3"},
		{"none", `{"choices":[]}`, nil, "0 choices, asked for 3"},
		{"no list", `{}`, nil, "0 choices, asked for 3"},
		{"one too many", choices(0, "a", 1, "b", 2, "c", 3, "d"), nil, "4 choices, asked for 3"},
		{"one twice", choices(0, "a", 1, "b", 1, "b"), nil, "index 1 is out of range or there twice"},
		{"an index too high", choices(0, "a", 1, "b", 3, "d"), nil, "index 3 is out of range"},
		{"an index below 0", choices(0, "a", -1, "b", 2, "c"), nil, "index -1 is out of range"},
		{"an error with status 200", `{"error":{"message":"busy"}}`, nil, "0 choices"},
		{"a page", `<html>no</html>`, nil, "invalid character"},
		{"a number for a text", `{"choices":[{"index":0,"message":{"content":5}}]}`, nil, "cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				_, _ = w.Write([]byte(c.body))
			}))
			defer srv.Close()
			r := judge()
			r.N, r.Temperature = 3, 1
			got, err := client(t, srv.URL, "").Chat(t.Context(), r)
			if requests.Load() != 1 {
				t.Errorf("asked %d times: a reply against the API does not get better", requests.Load())
			}
			if c.want == nil {
				var bad *endpoint.ReplyError
				if got != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.what) || bad.URL != srv.URL+"/v1/chat/completions" {
					t.Fatalf("got %v, %v; want a ReplyError with the URL and %q", got, err, c.what)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := make([]ChatChoice, len(c.want))
			for i, text := range c.want {
				want[i] = ChatChoice{Text: text, FinishReason: "stop"}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ChatRequest)
		want   endpoint.StatusError
	}{
		{"another model", func(r *ChatRequest) { r.Model = "big" },
			endpoint.StatusError{Status: 404, Type: "NotFoundError", Param: "model", Message: "The model `big` does not exist. Valid aliases: tiny."}},
		{"greedy with samples", func(r *ChatRequest) { r.N = 2 },
			endpoint.StatusError{Status: 400, Type: "BadRequestError", Message: "n must be 1 when using greedy sampling, got 2."}},
		{"more tokens than the context", func(r *ChatRequest) { r.MaxTokens = 600 },
			endpoint.StatusError{Status: 400, Type: "BadRequestError", Param: "max_tokens", Message: "max_tokens=600 cannot be greater than max_model_len=512. Please request fewer output tokens. (parameter=max_tokens, value=600)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			r := judge()
			c.change(&r)
			_, err := client(t, fake.URL, "").Chat(t.Context(), r)
			var got *endpoint.StatusError
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want a StatusError", err)
			}
			c.want.Method, c.want.URL = http.MethodPost, fake.URL+"/v1/chat/completions"
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if n := len(fake.Requests("")); n != 1 {
				t.Errorf("a refused request was sent %d times", n)
			}
		})
	}
	t.Run("a wrong key", func(t *testing.T) {
		fake := openaitest.New(t, openaitest.Options{APIKey: "sk-1"})
		_, err := client(t, fake.URL, "sk-2").Models(t.Context())
		var got *endpoint.StatusError
		if !errors.As(err, &got) || got.Status != http.StatusUnauthorized || strings.Contains(err.Error(), "sk-2") {
			t.Errorf("error %v, want a 401 without the key in it", err)
		}
	})
}

func TestFailuresAreTriedAgain(t *testing.T) {
	const chat, models = "/v1/chat/completions", "/v1/models"
	for _, c := range []struct {
		name     string
		fault    openaitest.Fault
		requests int
		fails    bool
	}{
		{"busy twice", openaitest.Fault{Times: 2}, 3, false},
		{"busy for ever", openaitest.Fault{Times: -1}, 3, true},
		{"no answer", openaitest.Fault{Kind: openaitest.FaultClose}, 2, false},
		{"cut in the middle", openaitest.Fault{Kind: openaitest.FaultCut}, 2, false},
		{"not JSON", openaitest.Fault{Kind: openaitest.FaultGarbage}, 1, true},
		{"refused", openaitest.Fault{Status: 422}, 1, true},
	} {
		for _, path := range []string{chat, models} {
			t.Run(c.name+path, func(t *testing.T) {
				fake := openaitest.New(t, openaitest.Options{})
				c.fault.Path = path
				fake.Inject(c.fault)
				cl := client(t, fake.URL, "")
				ask := func() (err error) { _, err = cl.Models(t.Context()); return err }
				if path == chat {
					ask = func() (err error) { _, err = cl.Chat(t.Context(), judge()); return err }
				}
				if err := ask(); (err != nil) != c.fails {
					t.Errorf("error %v", err)
				}
				sent := fake.Requests(path)
				if len(sent) != c.requests {
					t.Errorf("%d requests, want %d", len(sent), c.requests)
				}
				for _, r := range sent[1:] { // the body is there again
					if diff := cmp.Diff(string(sent[0].Body), string(r.Body)); diff != "" {
						t.Errorf("another body the second time:\n%s", diff)
					}
				}
			})
		}
	}
}

func TestNobodyThere(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err := client(t, gone.URL, "").Chat(t.Context(), judge())
	var un *endpoint.UnreachableError
	if !errors.As(err, &un) || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("error %v, want an UnreachableError", err)
	}
}

// TestCancelWhileReading: the reply has begun, so the failure is go-openai's
// to report, which knows nothing of causes.
func TestCancelWhileReading(t *testing.T) {
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	e, err := endpoint.New("http://h:1", endpoint.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(reader(func([]byte) (int, error) {
			cancel(enough)
			return 0, r.Context().Err() // as net/http's body does
		}))}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(e, endpoint.Retry{Tries: 1}).Chat(ctx, judge())
	if !errors.Is(err, enough) || !strings.Contains(err.Error(), "http://h:1/v1/chat/completions") {
		t.Errorf("error %v, want the context's cause and the URL", err)
	}
}

type (
	roundTrip func(*http.Request) (*http.Response, error)
	reader    func([]byte) (int, error)
)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
func (f reader) Read(p []byte) (int, error)                           { return f(p) }

func readAll(resp *http.Response) (int, error) {
	b, err := io.ReadAll(resp.Body)
	return len(b), err
}
