package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// A browser cannot send a token with what it loads: it gives it once, on
// /login, and gets a cookie that says that it had it. The cookie outlives the
// process, as the token does: a resumed run is looked at without another login.

// sessionLasts is how long a browser need not give the token again.
const sessionLasts = 30 * 24 * time.Hour

// session is the cookie of a token: without the token none can be made, and the
// token cannot be had from it.
type session struct{ name, value string }

func newSession(token string) session {
	of := func(what string) string {
		m := hmac.New(sha256.New, []byte(token))
		_, _ = m.Write([]byte(what)) // never fails (hash.Hash)
		return hex.EncodeToString(m.Sum(nil))
	}
	// Cookies know no ports: two runs of one machine must not share a name.
	return session{"justrl-" + of("justrl page name")[:8], of("justrl page session")}
}

// has tells whether a request comes from a browser that had the token. A page of
// elsewhere cannot use it: a browser sends it with a link that is followed to
// here, and with nothing else that such a page asks for (SameSite=Lax).
func (s session) has(r *http.Request) bool {
	c, err := r.Cookie(s.name)
	return err == nil && subtle.ConstantTimeCompare([]byte(c.Value), []byte(s.value)) == 1
}

// loginPage is what /login shows.
type loginPage struct{ Wrong bool }

// login takes the token and gives the cookie.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	given, want := sha256.Sum256([]byte(strings.TrimSpace(r.PostFormValue("token")))), sha256.Sum256([]byte(s.token))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		writeHTML(w, http.StatusUnauthorized, "login.html", loginPage{Wrong: true})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.session.name, Value: s.session.value, Path: "/", MaxAge: int(sessionLasts.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
