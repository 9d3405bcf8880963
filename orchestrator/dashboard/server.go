package dashboard

import (
	"net/http"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/justrl/justrl/internal/guard"
)

// Server has the routes of a run's web server; it is an http.Handler. Routes may
// be added while it answers. It is safe for concurrent use.
type Server struct {
	token   string
	session session
	all     *http.ServeMux // what is asked without a token
	behind  *http.ServeMux // what needs it
}

// New makes a server with the routes that show nothing of a run and ask for no
// token: /healthz, which says that the process lives, and what its pages look
// like. With a token every route that [Server.Handle] adds asks for it, as a
// bearer token or, of a browser, by the cookie that /login gives for it. Without
// one only who names this machine is answered: a page of elsewhere that a browser
// shows must not read the run by a name of its own that leads here.
func New(token string) *Server {
	s := &Server{token: token, all: http.NewServeMux(), behind: http.NewServeMux()}
	s.Open("GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	}))
	s.Open("GET /assets/{name}", gzhttp.GzipHandler(http.HandlerFunc(asset)))
	if token == "" {
		s.all.Handle("/", s.behind)
	} else {
		s.session = newSession(token)
		s.all.Handle("/", s.browsers(guard.RequireToken(token, s.behind)))
		s.Open("GET /login", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeHTML(w, http.StatusOK, "login.html", loginPage{})
		}))
		s.Open("POST /login", http.HandlerFunc(s.login))
	}
	return s
}

// browsers lets those pass that had the token, and asks for it who opens the page.
func (s *Server) browsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.session.has(r):
			s.behind.ServeHTTP(w, r)
		case r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Authorization") == "":
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Handle adds a route that asks for the token, with a pattern of http.ServeMux.
func (s *Server) Handle(pattern string, h http.Handler) { s.behind.Handle(pattern, h) }

// Open adds a route that asks for none. It must show nothing of the run.
func (s *Server) Open(pattern string, h http.Handler) { s.all.Handle(pattern, h) }

// patience is for a client to take an answer, however long it is: who does not read
// must not hold one of the few that are given at once.
const patience = 2 * time.Minute

// bodyLimit is for the body of a request, of which no route but /login wants one.
const bodyLimit = 10 * time.Second

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w) // a writer of a test has no deadlines
	_ = control.SetWriteDeadline(time.Now().Add(patience))
	if r.ContentLength != 0 { // else nothing is read, and a stream would end with it
		_ = control.SetReadDeadline(time.Now().Add(bodyLimit))
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if foreign(r) {
		guard.Refuse(w, http.StatusForbidden, "another site's page may link to here, and no more")
		return
	}
	if s.token == "" && !local(r.Host) {
		guard.Refuse(w, http.StatusForbidden, "only localhost, 127.0.0.1 or [::1] are answered where no token is asked for")
		return
	}
	s.all.ServeHTTP(w, r)
}

// foreign tells whether a page of another origin has a browser ask, for anything but
// to go here. It could not read the answer, but have the run make many of them.
// Browsers say so themselves; programs do not.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site": // same-site is another port of this machine
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Dest") != "document"
	default:
		return false
	}
}

// local tells whether a request's Host is this machine's own name for itself.
func local(host string) bool { return guard.Loopback(host) || guard.Loopback(host+":80") }
