package openaitest

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/goccy/go-json"
)

// decode reads a body into v, or refuses it in the words of vLLM's validation
// (pydantic's), as far as a client of ours can cause them. An empty body is {}.
func decode(body []byte, v any) *refusal {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if at := syntaxError(body); at >= 0 {
		message := pythonSyntaxError(body, at)
		if strings.Contains(message, "'") { // Python's repr
			message = `"` + message + `"`
		} else {
			message = "'" + message + "'"
		}
		return invalid("json_invalid", fmt.Sprintf("body.%d", at), "JSON decode error", "'<dict of 0 items>', 'ctx': {'error': "+message+"}")
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		var list []json.RawMessage
		_ = json.Unmarshal(body, &list) // of another kind it is empty, and the fake is vague
		return invalid("model_attributes_type", "body", "Input should be a valid dictionary or object to extract fields from", fmt.Sprintf("'<list of %d items>'", len(list)))
	}
	for _, name := range []string{"n", "max_tokens", "min_tokens", "top_k", "seed", "logprobs", "prompt_logprobs"} {
		raw := string(fields[name])
		switch {
		case strings.HasPrefix(raw, `"`):
			return invalid("int_parsing", "body."+name, "Input should be a valid integer, unable to parse string as an integer", "'"+strings.Trim(raw, `"`)+"'")
		case strings.Contains(raw, "."):
			return invalid("int_from_float", "body."+name, "Input should be a valid integer, got a number with a fractional part", "'"+raw+"'")
		}
	}
	if raw := string(fields["messages"]); strings.HasPrefix(raw, `"`) {
		return invalid("list_type", "body.messages", "Input should be a valid list", "'"+strings.Trim(raw, `"`)+"'")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return &refusal{http.StatusBadRequest, "Bad Request", "body", "1 validation error:\n  " + err.Error()}
	}
	return nil
}

// invalid is a refusal by pydantic; input is its repr.
func invalid(kind, where, message, input string) *refusal {
	return &refusal{http.StatusBadRequest, "Bad Request", where, fmt.Sprintf("1 validation error:\n  {'type': '%s', 'loc': '%s', 'msg': '%s', 'input': %s}", kind, where, message, input)}
}

// syntaxError is where body stops being JSON; -1 if it is JSON.
func syntaxError(body []byte) int {
	var syntax *stdjson.SyntaxError
	if err := stdjson.Unmarshal(body, new(any)); errors.As(err, &syntax) {
		return int(syntax.Offset)
	}
	return -1
}

// pythonSyntaxError is what Python's decoder says of a body that ends too early there.
func pythonSyntaxError(body []byte, at int) string {
	before := bytes.TrimSpace(body[:at])
	if len(before) > 0 && !bytes.ContainsAny(before[len(before)-1:], "[,:") {
		return "Expecting ',' delimiter"
	}
	return "Expecting value"
}
