package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// Server is one of the servers of a model.
type Server struct {
	Info   ServerInfo
	client *openai.Client

	last    atomic.Int64 // when anything came from it, in Unix nanoseconds
	clipped atomic.Int64 // the least room that an answer was asked for with, where that was less than wanted; 0 never
	apart   atomic.Bool  // it puts reasoning apart

	// Of the fleet, under its lock.
	busy  int
	down  time.Time // not to be asked before, if another can be
	falls int       // failures in a row
}

// ServerInfo is what was found of a server.
type ServerInfo struct {
	URL     string `json:"url"`
	Model   string `json:"model"`          // the name that is asked for
	Root    string `json:"root,omitempty"` // what the server loaded it from
	OwnedBy string `json:"owned_by,omitempty"`
	Version string `json:"version,omitempty"` // vLLM's
	// MaxModelLen is the context in tokens, prompt and answer together; 0 if the server does not say.
	MaxModelLen int `json:"max_model_len,omitempty"`
}

// CannotError says that a server answers and cannot do what is needed.
type CannotError struct {
	URL  string
	What string
}

func (e *CannotError) Error() string { return e.URL + ": " + e.What }

// Find asks a server what it serves; model "" is the only one it has, adapters
// aside. retry is for these questions. A server that does not serve the model
// gives a [*CannotError].
func Find(ctx context.Context, e *endpoint.Endpoint, model string, retry endpoint.Retry) (*Server, error) {
	client := openai.New(e, retry)
	models, err := client.Models(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range models {
		if m.Parent == "" {
			names = append(names, m.ID)
		}
	}
	if model == "" {
		if len(names) != 1 {
			return nil, &CannotError{e.URL(), fmt.Sprintf("serves %d models (%s); name one with --served-model", len(names), strings.Join(names, ", "))}
		}
		model = names[0]
	}
	at := slices.IndexFunc(models, func(m openai.Model) bool { return m.ID == model })
	if at < 0 { // of Ollama's names one leaves that tag out
		at = slices.IndexFunc(models, func(m openai.Model) bool { return m.ID == model+":latest" })
	}
	if at < 0 {
		return nil, &CannotError{e.URL(), fmt.Sprintf("does not serve %q; it serves %s", model, strings.Join(names, ", "))}
	}
	m := models[at]
	s := &Server{client: client, Info: ServerInfo{URL: e.URL(), Model: m.ID, Root: m.Root, OwnedBy: m.OwnedBy, MaxModelLen: m.MaxModelLen}}
	if s.Info.MaxModelLen == 0 && m.Parent != "" { // vLLM says it of the base model alone
		for _, base := range models {
			if base.ID == m.Parent {
				s.Info.MaxModelLen = base.MaxModelLen
			}
		}
	}
	var version struct {
		Version string `json:"version"`
	}
	if err := e.Do(ctx, http.MethodGet, "/version", nil, &version); err == nil { // vLLM's own; others need not have it
		s.Info.Version = version.Version
	}
	return s, ctx.Err()
}

// Client is the connection, for other questions than an evaluation's.
func (s *Server) Client() *openai.Client { return s.client }

// heard notes that the server is alive.
func (s *Server) heard() { s.last.Store(time.Now().UnixNano()) }

// quietFor is how long nothing has come from it.
func (s *Server) quietFor() time.Duration { return time.Since(time.Unix(0, s.last.Load())) }

// ask has one answer from this server. begun is set once a piece of it has come.
func (s *Server) ask(ctx context.Context, r openai.ChatRequest, quiet time.Duration, begun *bool) (openai.Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.Model = s.Info.Model
	want := r.MaxTokens
	if most := s.Info.MaxModelLen; most > 0 && r.MaxTokens > most {
		r.MaxTokens = most // vLLM refuses more, and cuts this to what the prompt leaves
	}
	w := s.watch(quiet, cancel)
	defer w.stop()
	for {
		a, err := s.client.Stream(ctx, r, w.event)
		*begun = w.pieces.Load() > 1 // the first is the reply's head
		if room, ok := roomLeft(err); ok && room >= 1 && room < r.MaxTokens {
			r.MaxTokens = room
			continue
		}
		if err == nil && r.MaxTokens < want && a.FinishReason == "length" {
			s.clip(r.MaxTokens, a.PromptTokens)
		}
		if a.Apart {
			s.apart.Store(true)
		}
		return a, s.judge(a, err)
	}
}

// judge makes an answer that is none, and an engine's death, errors that
// another try may help with: a dead engine's server may be started again, and
// there may be others.
func (s *Server) judge(a openai.Answer, err error) error {
	url := s.Info.URL + "/v1/chat/completions"
	var status *endpoint.StatusError
	switch {
	case errors.As(err, &status) && status.Dead():
		return &endpoint.UnreachableError{Method: http.MethodPost, URL: url, Err: errors.New(status.Message), Hint: "look at the server's log and start it again"}
	case err != nil:
		return err
	case a.FinishReason == "abort" || a.FinishReason == "error":
		return &endpoint.ReplyError{Method: http.MethodPost, URL: url, Err: fmt.Errorf("the server gave up on the answer (finish_reason %s): %w", a.FinishReason, io.ErrUnexpectedEOF)}
	}
	return nil
}

// clip notes that an answer was cut at less than what was wanted.
func (s *Server) clip(maxTokens, prompt int) {
	room := int64(maxTokens)
	if most := s.Info.MaxModelLen; most > 0 && prompt > 0 {
		room = min(room, int64(most-prompt))
	}
	for {
		old := s.clipped.Load()
		if old != 0 && old <= room || s.clipped.CompareAndSwap(old, room) {
			return
		}
	}
}

// The words of servers that do not cut max_tokens to what the prompt leaves of
// their context: vLLM before 0.10, and after.
var (
	contextIs = regexp.MustCompile(`maximum context length is (\d+) tokens`)
	promptIs  = regexp.MustCompile(`(\d+) in the messages|your request has (\d+) input tokens`)
)

// roomLeft reads from a refusal how long an answer may be.
func roomLeft(err error) (int, bool) {
	var status *endpoint.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusBadRequest {
		return 0, false
	}
	most, prompt := contextIs.FindStringSubmatch(status.Message), promptIs.FindStringSubmatch(status.Message)
	if most == nil || prompt == nil {
		return 0, false
	}
	m, err1 := strconv.Atoi(most[1])
	p, err2 := strconv.Atoi(prompt[1] + prompt[2]) // one of them is empty
	return m - p, err1 == nil && err2 == nil
}
