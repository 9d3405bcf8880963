package openaitest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// FaultKind is a way to misbehave.
type FaultKind int

// The faults. FaultStall and FaultEnd cut streams between two events, those
// from FaultAbort on only make sense for /v1/completions.
const (
	FaultStatus  FaultKind = iota // answers Status and Body
	FaultClose                    // closes the connection without an answer
	FaultCut                      // closes it in the middle of the right answer
	FaultHang                     // answers nothing until the client goes away
	FaultGarbage                  // answers 200 with something that is not JSON
	FaultStall                    // sends half of the right answer, and then nothing until the client goes away
	FaultEnd                      // ends it after half of the right answer, as if that were all
	FaultAbort                    // ends sample Sample with finish_reason abort
	FaultDrop                     // leaves choice Sample out
	FaultTwice                    // gives choice Sample the index of its neighbour
	FaultNaN                      // a log-prob that is NaN, not quoted
	FaultNull                     // a log-prob that is null
	FaultShort                    // one log-prob fewer than tokens
	FaultVocab                    // a token id outside the vocabulary
	FaultEmpty                    // no tokens
	FaultNoIDs                    // token_ids null, as before return_token_ids existed
	FaultEcho                     // echoes another prompt
	FaultFinish                   // a finish_reason that does not exist
	FaultLong                     // more tokens than max_tokens
)

// Fault makes the server misbehave on requests to a path.
type Fault struct {
	Kind FaultKind
	// Path is where; "" is /v1/completions.
	Path string
	// After lets that many requests pass first.
	After int
	// Times is how many requests it strikes; 0 is one, negative is for ever.
	Times int
	// Status, Body and RetryAfter are FaultStatus's answer; 0 is 503, "" is vLLM's shape.
	Status     int
	Body       string
	RetryAfter time.Duration
	// Sample is the index of the choice that is hit.
	Sample int
}

// Inject adds a fault; faults strike in the order they were added.
func (s *Server) Inject(f Fault) {
	if f.Path == "" {
		f.Path = "/v1/completions"
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes every fault.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// strike is the fault that hits this request, if one does.
func (s *Server) strike(path string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Path != path || f.Times == 0 {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		f.Times--
		return *f, true
	}
	return Fault{}, false
}

// misbehave answers as the fault wants.
func (s *Server) misbehave(f Fault, right http.Handler, w http.ResponseWriter, r *http.Request) {
	switch f.Kind {
	case FaultStatus:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		status := f.Status
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		if f.Body == "" {
			w.Header().Set("Content-Type", "application/json")
			f.Body = fmt.Sprintf(`{"error":{"message":"the fault that was asked for","type":%q,"param":null,"code":%d}}`, http.StatusText(status), status)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(f.Body))
	case FaultClose:
		panic(http.ErrAbortHandler)
	case FaultCut:
		whole := httptest.NewRecorder()
		right.ServeHTTP(whole, r)
		body := whole.Body.Bytes()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case FaultHang:
		s.hang(r)
	case FaultStall, FaultEnd:
		whole := httptest.NewRecorder()
		right.ServeHTTP(whole, r)
		events := bytes.SplitAfter(whole.Body.Bytes(), []byte("\n\n"))
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		half := bytes.Join(events[:len(events)/2], nil)
		if len(half) == 0 { // one that comes whole
			half = whole.Body.Bytes()[:whole.Body.Len()/2]
		}
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		if f.Kind == FaultStall {
			s.hang(r)
		}
	case FaultGarbage:
		_, _ = w.Write([]byte("<html>not what you asked for</html>"))
	case FaultNaN, FaultNull:
		whole := httptest.NewRecorder()
		right.ServeHTTP(whole, r)
		word := map[FaultKind]string{FaultNaN: "NaN", FaultNull: "null"}[f.Kind]
		_, _ = w.Write(spoilLogprob(whole.Body.Bytes(), word))
	default:
		whole := httptest.NewRecorder()
		right.ServeHTTP(whole, r)
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(spoil(whole.Body.Bytes(), f, s.engine.o.Vocab, s.engine.o.MaxModelLen))
	}
}

// hang answers nothing more until the client goes away.
func (s *Server) hang(r *http.Request) {
	s.engine.mu.Change(func() { s.engine.running++ })
	defer s.engine.mu.Change(func() { s.engine.running-- })
	select {
	case <-r.Context().Done():
	case <-s.stop:
	}
	panic(http.ErrAbortHandler)
}

// spoilLogprob puts word in the place of the first token_logprobs entry.
func spoilLogprob(body []byte, word string) []byte {
	key := []byte(`"token_logprobs":[`)
	i := bytes.Index(body, key)
	if i < 0 {
		return body
	}
	i += len(key)
	n := bytes.IndexAny(body[i:], ",]")
	return append(append(bytes.Clone(body[:i]), word...), body[i+n:]...)
}
