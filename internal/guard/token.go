package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// minToken is the least length of a token in bytes: 16 of hex or base64 are
// beyond guessing over a network.
const minToken = 16

// ReadToken is the token of a file, one line, or value where no file is named.
// Both empty is no token. Errors never show it.
func ReadToken(value, file string) (string, error) {
	if file == "" {
		return value, CheckToken(value)
	}
	if value != "" {
		return "", errors.New("both a token and a file of one: give one of them")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("%s: is empty, and must hold one token on one line", file)
	}
	if err := CheckToken(token); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return token, nil
}

// CheckToken refuses what no header can carry and what can be guessed; "" passes.
func CheckToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("a token is one line of letters, digits and signs, without spaces")
	}
	if token != "" && len(token) < minToken {
		return fmt.Errorf("the token has %d characters, needs %d: openssl rand -hex 32 makes one", len(token), minToken)
	}
	return nil
}

// strangerLimit is for the body of a request without the token, which nobody looks at.
const strangerLimit = time.Second

// RequireToken answers 401 to every request without the token, before anything
// else is looked at. "" lets all pass. The comparison takes as long for a wrong
// token as for the right one.
func RequireToken(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			// net/http reads the rest of the body before it answers, for however long that takes.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(strangerLimit)) // a writer of a test has none
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.Header().Set("Connection", "close")
			Refuse(w, http.StatusUnauthorized, "the token is missing or wrong")
			return
		}
		next.ServeHTTP(w, r)
	})
}
