package endpoint

import (
	"net/http"
	"slices"
	"strings"
)

// hidden stands where a server's words had a key or a header of ours.
const hidden = "[hidden]"

// minSecret is the fewest bytes of a key, or a header's value, that is taken out
// of a server's words: what is shorter is in many words, and no secret.
const minSecret = 6

// concealer takes the key and the headers' values out of a text: servers and
// gateways do repeat what they refuse. A closure, as authorize is one.
func concealer(key string, headers http.Header) func(string) string {
	var secrets []string
	add := func(s string) {
		if len(s) >= minSecret {
			secrets = append(secrets, s)
		}
	}
	add(key)
	for _, values := range headers {
		for _, v := range values {
			add(v)
			if words := strings.Fields(v); len(words) > 1 { // "Token abc"
				for _, w := range words {
					add(w)
				}
			}
		}
	}
	if len(secrets) == 0 {
		return func(s string) string { return s }
	}
	// The longest first: of two that begin alike nothing may be left over.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, hidden)
	}
	return strings.NewReplacer(pairs...).Replace
}

// concealed is an error in whose text something was hidden.
type concealed struct {
	text string
	err  error
}

func (c *concealed) Error() string { return c.text }

func (c *concealed) Unwrap() error { return c.err }

// conceal is err without a key in its text.
func (e *Endpoint) conceal(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := e.hide(text); clean != text {
		return &concealed{clean, err}
	}
	return err
}

// Conceal takes the key and the headers out of what the server said, for clients
// that read replies by themselves.
func (e *Endpoint) Conceal(text string) string { return e.hide(text) }

// Quote shows the start of a reply's body on one line, without a key, for
// clients that read replies by themselves.
func (e *Endpoint) Quote(body []byte) string {
	const enough = 4 << 10 // more than is shown and any key
	return quote([]byte(e.hide(string(body[:min(len(body), enough)]))))
}
