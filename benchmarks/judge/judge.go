// Package judge asks a model whether an answer is right: the second opinion
// about what the rules reject.
//
// The model is any on an OpenAI-compatible server; the paper has
// CompassVerifier-3B. It is asked greedily, and what it says is A (correct), B
// (incorrect) or C (invalid). Anything else is "?", which counts as incorrect,
// as with the authors, and is counted: see [Stats]. It is no error, and is not
// asked again by the same process, since a greedy judge would say the same; a
// later process asks again, as another server may stand behind the name.
//
// The whole response is sent, as the authors do; [Options.Tail] sends its end.
package judge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// What a judge can say.
const (
	Correct   = "A"
	Incorrect = "B"
	Invalid   = "C"
	Nonsense  = "?" // none of the three
)

// MaxTokens is how many tokens a judge may say; one is enough for most.
const MaxTokens = 2048

// Client is a server with a judge on it; [openai.Client] is one.
type Client interface {
	Chat(ctx context.Context, r openai.ChatRequest) ([]openai.ChatChoice, error)
}

// Options are a Judge's settings.
type Options struct {
	Client Client
	Model  string // served name
	// Template is the message; nil is [Default].
	Template *Template
	// EmptyQuestion leaves the question out, which is what the authors'
	// published numbers come from.
	EmptyQuestion bool
	// MaxTokens bounds what the judge says; 0 is the constant of that name.
	MaxTokens int
	// Tail sends only so many of a response's last characters; 0 sends all.
	Tail int
	// Cache keeps verdicts; nil asks anew each time.
	Cache *Cache
}

// Stats is what a Judge has been asked.
type Stats struct {
	Judged   int64 `json:"judged"`   // pairs, cached ones included
	Asked    int64 `json:"asked"`    // of the server
	Nonsense int64 `json:"nonsense"` // pairs with another answer than A, B and C
	Correct  int64 `json:"correct"`  // pairs with A
}

// NonsenseShare is the part of all pairs that got no verdict.
func (s Stats) NonsenseShare() float64 {
	if s.Judged == 0 {
		return 0
	}
	return float64(s.Nonsense) / float64(s.Judged)
}

// Judge is safe for concurrent use.
type Judge struct {
	o       Options
	flights singleflight.Group

	judged, asked, nonsense, correct atomic.Int64
}

// New makes a Judge; it asks nothing yet.
func New(o Options) (*Judge, error) {
	if o.Client == nil || o.Model == "" || o.MaxTokens < 0 || o.Tail < 0 {
		return nil, errors.New("judge: client and model are needed, max tokens and tail at least 0")
	}
	if o.Template == nil {
		o.Template = Default()
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = MaxTokens
	}
	return &Judge{o: o}, nil
}

// Judge says [Correct], [Incorrect], [Invalid] or [Nonsense] of a response. It
// blocks until the server has answered, unless the same was asked before. An
// error is the server's, the cache's, or ctx's cause; pairs that are equal are
// asked about once, and share it.
func (j *Judge) Judge(ctx context.Context, question, truth, response string) (string, error) {
	if j.o.EmptyQuestion {
		question = ""
	}
	response = tail(response, j.o.Tail)
	key := keyOf(j.o.Model, strconv.Itoa(j.o.MaxTokens), j.o.Template.Text, question, truth, response)
	said, known := j.o.Cache.get(key)
	if !known {
		v, err, _ := j.flights.Do(key, func() (any, error) {
			if said, known := j.o.Cache.get(key); known { // since it was looked for
				return said, nil
			}
			return j.ask(ctx, key, question, truth, response)
		})
		if err != nil {
			return "", err
		}
		said = v.(string)
	}
	j.judged.Add(1)
	switch said {
	case Correct:
		j.correct.Add(1)
	case Nonsense:
		j.nonsense.Add(1)
	}
	return said, nil
}

func (j *Judge) ask(ctx context.Context, key, question, truth, response string) (string, error) {
	message, err := j.o.Template.Render(question, truth, response)
	if err != nil {
		return "", fmt.Errorf("judge: %w", err)
	}
	choices, err := j.o.Client.Chat(ctx, openai.ChatRequest{
		Model: j.o.Model, Messages: []openai.Message{{Role: "user", Content: message}},
		N: 1, Temperature: 0, TopP: 1, MaxTokens: j.o.MaxTokens, Extensions: openai.Neutral(),
	})
	if err != nil {
		return "", explain(err, message)
	}
	j.asked.Add(1)
	raw := choices[0].Text
	said := read(raw)
	return said, j.o.Cache.add(key, said, raw)
}

// read is the verdict in what a judge said: one letter, white space aside.
func read(said string) string {
	switch said = strings.TrimSpace(said); said {
	case Correct, Incorrect, Invalid:
		return said
	}
	return Nonsense
}

// Stats is what was judged so far.
func (j *Judge) Stats() Stats {
	return Stats{Judged: j.judged.Load(), Asked: j.asked.Load(), Nonsense: j.nonsense.Load(), Correct: j.correct.Load()}
}

// explain adds to a refusal of a message that does not fit what can be done about it.
func explain(err error, message string) error {
	var status *endpoint.StatusError
	if errors.As(err, &status) && status.Status == http.StatusBadRequest && strings.Contains(status.Message, "context length") {
		return fmt.Errorf("judge: a message of %d characters does not fit its context: start it with a larger --max-model-len, or give --judge-tail N to show it the last N characters of each answer: %w",
			utf8.RuneCountInString(message), err)
	}
	return fmt.Errorf("judge: %w", err)
}

// tail is the last n characters of s; all if n is 0.
func tail(s string, n int) string {
	if n == 0 || len(s) <= n {
		return s
	}
	at := len(s)
	for ; n > 0 && at > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return s[at:]
}
