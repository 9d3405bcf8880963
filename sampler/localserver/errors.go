package localserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-json"
)

// refusal is an error reply.
type refusal struct {
	status     int
	typ, param string // param "" is null
	message    string
	detail     bool // in the web framework's own shape
}

func (r *refusal) Error() string { return r.message }

// invalid is a value that vLLM's own checks refuse. With a parameter, its
// words end in the parameter's name and value, as the caller gives them.
func invalid(param, message string) *refusal {
	return &refusal{status: http.StatusBadRequest, typ: "BadRequestError", param: param, message: message}
}

// invalidf appends "(parameter=…, value=…)".
func invalidf(param string, value any, format string, args ...any) *refusal {
	return invalid(param, fmt.Sprintf(format, args...)+fmt.Sprintf(" (parameter=%s, value=%v)", param, value))
}

// asRefusal is how an error of the engine is told to the client.
func asRefusal(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, context.Canceled): // or the client is gone, who does not read it
		return shuttingDown
	}
	return &refusal{status: http.StatusInternalServerError, typ: "InternalServerError", message: err.Error()}
}

var (
	notJSON  = invalid("", "Out of range float values are not JSON compliant")
	overflow = &refusal{status: http.StatusServiceUnavailable, typ: "Service Unavailable",
		message: "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."}
	shuttingDown = &refusal{status: http.StatusServiceUnavailable, typ: "Service Unavailable", message: "the server is shutting down"}
	unparsed     = &refusal{status: http.StatusBadRequest, message: "There was an error parsing the body", detail: true}
)

func (r *refusal) body() []byte {
	if r.detail {
		b, _ := marshal(map[string]string{"detail": r.message})
		return b
	}
	b, _ := marshal(map[string]errorInfo{"error": r.info()})
	return b
}

type errorInfo struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    int     `json:"code"`
}

func (r *refusal) info() errorInfo {
	e := errorInfo{Message: r.message, Type: r.typ, Code: r.status}
	if r.param != "" {
		e.Param = &r.param
	}
	return e
}

func (r *refusal) write(w http.ResponseWriter) { writeBody(w, r.status, r.body()) }

// event is the refusal within a stream, spaced as Python's json.dumps does.
func (r *refusal) event() []byte {
	param := "null"
	if r.param != "" {
		param = asciiString(r.param)
	}
	return fmt.Appendf(nil, `{"error": {"message": %s, "type": %s, "param": %s, "code": %d}}`, asciiString(r.message), asciiString(r.typ), param, r.status)
}

func asciiString(s string) string {
	b, _ := json.MarshalWithOption(s, json.DisableHTMLEscape())
	return string(b)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeJSON answers 200 with v as vLLM writes it: compact, not HTML-escaped.
func writeJSON(w http.ResponseWriter, v any) {
	b, err := marshal(v)
	if err != nil {
		notJSON.write(w)
		return
	}
	writeBody(w, http.StatusOK, b)
}

// marshal fails for numbers that JSON lacks.
func marshal(v any) ([]byte, error) { return json.MarshalWithOption(v, json.DisableHTMLEscape()) }

// pyString is Python's repr of a text.
func pyString(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0x7f && !unicode.IsPrint(r) && r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xff && !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// pyFloat is Python's repr of a float.
func pyFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return strings.TrimPrefix(strconv.FormatFloat(x, 'g', -1, 64)[:1], "+") + "inf"
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pyInts is Python's repr of a list of ints.
func pyInts(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, 10)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
