package agent

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/justrl/justrl/internal/guard"
)

var _ http.Handler = (*Agent)(nil)

// ServeHTTP implements http.Handler; put guard.Serve in front of it, which asks
// for the token.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const loads = "/v1/load/"
	switch path := r.URL.Path; {
	case path == "/v1/load":
		a.serve(w, r, http.MethodPost, a.serveLoad)
	case len(path) > len(loads) && path[:len(loads)] == loads:
		a.serve(w, r, http.MethodDelete, a.serveCancel)
	case path == "/v1/live":
		a.serve(w, r, http.MethodGet, a.serveLive)
	case path == "/v1/checksums":
		a.serve(w, r, http.MethodGet, a.serveChecksums)
	case path == "/v1/status":
		a.serve(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
			if s, err := a.status(r.Context()); err != nil {
				guard.Refuse(w, http.StatusInternalServerError, err.Error())
			} else {
				guard.Reply(w, http.StatusOK, s)
			}
		})
	default:
		guard.Refuse(w, http.StatusNotFound, "no such route: this is justrl agent")
	}
}

func (a *Agent) serve(w http.ResponseWriter, r *http.Request, method string, h http.HandlerFunc) {
	if r.Method != method {
		w.Header().Set("Allow", method)
		guard.Refuse(w, http.StatusMethodNotAllowed, "this route is for "+method)
		return
	}
	h(w, r)
}

func (a *Agent) serveLoad(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(10 * time.Second)) // a writer of a test has none
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		guard.Refuse(w, http.StatusBadRequest, "the request could not be read, or is too long")
		return
	}
	q, err := parseRequest(b)
	if err != nil {
		guard.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	j, err := a.begin(r.Context(), q)
	switch {
	case errors.Is(err, errClosed):
		guard.Refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	case err != nil:
		guard.Refuse(w, http.StatusConflict, err.Error())
		return
	}
	wait := time.NewTimer(a.o.Wait)
	defer wait.Stop()
	select {
	case <-j.done:
	case <-wait.C:
	case <-r.Context().Done():
		return
	}
	status := http.StatusOK
	if !j.ended() {
		status = http.StatusAccepted
	}
	guard.Reply(w, status, j.now())
}

// serveCancel answers when the load has ended, which leaves the server whole.
func (a *Agent) serveCancel(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	j := a.job
	a.mu.Unlock()
	if j == nil || j.request.Attempt != r.URL.Path[len("/v1/load/"):] {
		guard.Refuse(w, http.StatusNotFound, "no such load")
		return
	}
	j.cancel()
	select {
	case <-j.done:
		guard.Reply(w, http.StatusOK, j.now())
	case <-r.Context().Done():
	}
}

func (a *Agent) serveLive(w http.ResponseWriter, r *http.Request) {
	version, err := strconv.ParseInt(r.URL.Query().Get("version"), 10, 64)
	if err != nil {
		guard.Refuse(w, http.StatusBadRequest, "version must be a number")
		return
	}
	var report Report
	if err := a.stillLive(r.Context(), r.URL.Query().Get("run"), version); err != nil {
		report.Fault = faultOf(err)
	}
	guard.Reply(w, http.StatusOK, report)
}

// Sums are a server's own checksums.
type Sums struct {
	Checksums map[string]string `json:"checksums"` // null if it has none
	Hidden    int               `json:"hidden"`
	Fault     *Fault            `json:"fault,omitempty"`
}

func (a *Agent) serveChecksums(w http.ResponseWriter, r *http.Request) {
	sums, hidden, err := a.checksums(r.Context())
	s := Sums{Checksums: sums, Hidden: hidden}
	if err != nil {
		s.Fault = faultOf(err)
	}
	guard.Reply(w, http.StatusOK, s)
}
