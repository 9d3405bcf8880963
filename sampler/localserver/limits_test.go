package localserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestLimits: what is too much is refused, and cheaply.
func TestLimits(t *testing.T) {
	encoded := 0
	s := toyServer(t, &toy{}, func(o *Options) {
		o.Tokenizer, o.MaxBody, o.MaxSamples, o.MaxN = byteTokens{&encoded}, 16<<20, 50, 100
	})
	long := strings.Repeat("a", 10<<20)
	for _, c := range []struct {
		name, path, body string
		status           int
		message          string
	}{
		{"a text of 10 MB", "/v1/completions", `{"prompt":"` + long + `"}`, 400, "characters (more than 384 characters"},
		{"a message of 10 MB", "/v1/chat/completions", `{"messages":[{"role":"user","content":"` + long + `"}]}`, 400, "characters (more than 384 characters"},
		{"a million ids", "/v1/completions", `{"prompt":[` + strings.Repeat("1,", 1<<20) + `1]}`, 400, "contains 1048577 input tokens"},
		{"a million of a list of ids", "/v1/completions", `{"prompt":[[1],[` + strings.Repeat("1,", 1<<20) + `1]]}`, 400, "contains 1048577 input tokens"},
		{"a million prompts", "/v1/completions", `{"prompt":[` + strings.Repeat(`"",`, 1<<20) + `""]}`, 400, "prompt list length"},
		{"a million stop tokens", "/v1/completions", `{"prompt":"a","stop_token_ids":[` + strings.Repeat("1,", 1<<20) + `1]}`, 400, "at most 1048576 items"},
		{"a million stop strings", "/v1/completions", `{"prompt":"a","stop":[` + strings.Repeat("1,", 1<<20) + `1]}`, 400, "at most 4 items"},
		{"a million names", "/v1/completions", `{` + strings.Repeat(`"a":1,`, 1<<20) + `"prompt":"a"}`, 400, "error parsing the body"},
		{"a million messages", "/v1/chat/completions", `{"messages":[` + strings.Repeat(`1,`, 1<<20) + `1]}`, 400, "a message is an object"},
		{"large template settings", "/v1/chat/completions", `{"messages":[],"chat_template_kwargs":{"a":"` + long[:1<<17] + `"}}`, 400, "more than 65536"},
		{"a thousand wrong ids", "/v1/completions", `{"prompt":[` + strings.Repeat(`"a",1,`, 500) + `1]}`, 400, "...and 1993 more errors"},
		{"a body over the limit", "/v1/completions", `{"prompt":"` + long + long + `"}`, 413, "larger than 16777216 bytes"},
		{"nested lists", "/v1/completions", `{"prompt":` + strings.Repeat("[", 1<<20), 400, "error parsing the body"},
		{"nested objects", "/v1/completions", strings.Repeat(`{"a":`, 1<<20), 400, "error parsing the body"},
		{"a number of a million digits", "/v1/completions", `{"prompt":"a","n":` + strings.Repeat("9", 1<<20) + `}`, 400, "n must be at most"},
		{"a text of a million digits", "/v1/completions", `{"prompt":"a","n":"` + strings.Repeat("9", 1<<20) + `"}`, 400, "int_parsing"},
		{"samples over n", "/v1/completions", `{"prompt":"a","n":101}`, 400, "n must be at most 100"},
		{"samples over what the server has", "/v1/completions", `{"prompt":["a","b"],"n":30}`, 400, "asks for 60 samples"},
		{"no JSON at all", "/v1/completions", "\xff\xfe", 400, "error parsing the body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			encoded = 0
			status, reply := ask(s, c.path, c.body)
			if status != c.status || !strings.Contains(reply, c.message) || len(reply) > 20000 {
				t.Errorf("%d %.400s, want %d and %q", status, reply, c.status, c.message)
			}
			if encoded > 1000 {
				t.Errorf("%d bytes were tokenised", encoded)
			}
		})
	}
}

// TestTooManySamples: over the limit requests are told to come again, and
// those that wait count.
func TestTooManySamples(t *testing.T) {
	s := toyServer(t, &toy{}, func(o *Options) { o.MaxSamples = 3 })
	if status, _ := ask(s, "/pause", ""); status != http.StatusOK {
		t.Fatal(status)
	}
	var pool errgroup.Group
	pool.Go(func() error {
		if status, reply := ask(s, "/v1/completions", `{"prompt":"a","n":3}`); status != http.StatusOK {
			return fmt.Errorf("the waiting request: %d %s", status, reply)
		}
		return nil
	})
	if err := s.gate.mu.Until(t.Context(), func() bool { return s.gate.samples == 3 }); err != nil {
		t.Fatal(err)
	}
	status, reply := ask(s, "/v1/completions", `{"prompt":"a"}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(reply, "currently busy") {
		t.Errorf("%d %s", status, reply)
	}
	ask(s, "/resume", "")
	if err := pool.Wait(); err != nil {
		t.Error(err)
	}
	if status, reply := ask(s, "/v1/completions", `{"prompt":"a","n":3}`); status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, reply)
	}
}
