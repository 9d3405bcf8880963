package localserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// conversation is a request's messages and how they become a prompt.
type conversation struct {
	messages  []Message
	begin     bool // the prompt ends where the assistant's answer begins
	goOn      bool // the last message is left open
	variables map[string]any
}

// maxVariables bounds the variables of a chat template, in bytes.
const maxVariables = 64 << 10

// conversation reads messages; complaints are kept in the form.
func (f *form) conversation() (conversation, *refusal) {
	const name = "messages"
	if f.truthy("continue_final_message") && f.truthy("add_generation_prompt") {
		return conversation{}, invalid("", "Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
	}
	for _, field := range []string{"chat_template", "documents"} {
		if f.truthy(field) {
			return conversation{}, invalid(field, fmt.Sprintf("`%s` is not supported by this server. (parameter=%s)", field, field))
		}
	}
	if f.truthy("tools") && unquoteText(f.fields["tool_choice"]) != "none" {
		return conversation{}, invalid("", `"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set`)
	}
	c := conversation{goOn: f.flag("continue_final_message", false, false), begin: f.flag("add_generation_prompt", false, true)}
	if n := len(f.fields["chat_template_kwargs"]); n > maxVariables {
		return conversation{}, invalid("chat_template_kwargs", fmt.Sprintf("`chat_template_kwargs` has %d bytes, more than %d. (parameter=chat_template_kwargs)", n, maxVariables))
	}
	if fields, ok := f.object("chat_template_kwargs"); ok {
		c.variables = map[string]any{}
		for key, raw := range fields {
			c.variables[key] = plain(raw)
		}
	}
	raw, ok := f.fields[name]
	switch {
	case !ok:
		f.problems.add("missing", f.loc(name), "Field required", f.whole(), "")
	case kindOf(raw) == kindNull:
		return c, invalid("", "'NoneType' object is not iterable")
	case kindOf(raw) != kindList:
		f.problems.add("list_type", f.loc(name), "Input should be a valid list", raw, "")
	default:
		return c, c.read(raw)
	}
	return c, nil
}

// whole is an object with as many members as the form has.
func (f *form) whole() []byte {
	var members []string
	for name := range f.fields {
		members = append(members, asciiString(name)+":0")
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// plain is a JSON value as templates see it.
func plain(raw []byte) any {
	switch kindOf(raw) {
	case kindBool:
		return raw[0] == 't'
	case kindInt:
		return int(clip(string(raw)))
	case kindFloat:
		return float(raw)
	case kindString:
		return unquote(raw)
	case kindList:
		out := []any{}
		for _, x := range list(raw) {
			out = append(out, plain(x))
		}
		return out
	case kindObject:
		out := map[string]any{}
		for key, x := range object(raw) {
			out[key] = plain(x)
		}
		return out
	}
	return nil
}

// wrongMessage is a message that is none: pydantic goes through all kinds of
// messages there are, this says it in a line.
func wrongMessage(i int, format string, args ...any) *refusal {
	where := fmt.Sprintf("body.messages.%d", i)
	return &refusal{status: http.StatusBadRequest, typ: "Bad Request", param: where, message: "1 validation error:\n  " + where + ": " + fmt.Sprintf(format, args...)}
}

// read reads the messages.
func (c *conversation) read(raw []byte) (bad *refusal) {
	i := 0
	s := scanner{b: raw}
	s.elements(0, 0, func(m []byte) {
		if bad == nil {
			bad = c.message(i, m)
		}
		i++
	})
	return bad
}

// message reads message i.
func (c *conversation) message(i int, raw []byte) *refusal {
	if kindOf(raw) != kindObject {
		return wrongMessage(i, "a message is an object with role and content")
	}
	fields := object(raw)
	if kindOf(fields["role"]) != kindString {
		return wrongMessage(i, "role is missing or no text")
	}
	m := Message{Role: unquote(fields["role"])}
	switch content := fields["content"]; kindOf(content) {
	case kindNone, kindNull:
	case kindString:
		if lonely(content) {
			return errNoText
		}
		m.Content = unquote(content)
	case kindList:
		var bad *refusal
		if m.Content, bad = joinParts(i, content); bad != nil {
			return bad
		}
	default:
		return wrongMessage(i, "content is neither text nor a list of parts")
	}
	c.messages = append(c.messages, m)
	return nil
}

// joinParts makes one text of the parts of message i, a line each.
func joinParts(i int, raw []byte) (text string, bad *refusal) {
	var parts []string
	s := scanner{b: raw}
	s.elements(0, 0, func(part []byte) {
		kind, text := "", part
		switch kindOf(part) {
		case kindString:
			kind = "text"
		case kindObject:
			fields := object(part)
			kind, text = unquoteText(fields["type"]), fields["text"]
		}
		switch {
		case bad != nil:
		case kind == "text" && kindOf(text) == kindString && !lonely(text):
			parts = append(parts, unquote(text))
		case slices.Contains([]string{"image_url", "input_audio", "video_url", "audio_url", "image_embeds", "image_pil"}, kind):
			bad = errMultimodal
		default:
			bad = invalid("", fmt.Sprintf("body.messages.%d: a part of content is neither text nor anything else that is known", i))
		}
	})
	return strings.Join(parts, "\n"), bad
}

// errMultimodal is completed with the model's name.
var errMultimodal = invalid("", "%s is not a multimodal model")

// render makes the prompt's text.
func (s *Server) render(c conversation) (string, *refusal) {
	if len(c.messages) == 0 {
		return "", invalid("", "Cannot apply chat template to an empty conversation. Provide at least one message.")
	}
	text, err := s.o.Tokenizer.Render(c.messages, c.begin && !c.goOn, c.variables)
	if err != nil {
		return "", invalid("", err.Error())
	}
	if !c.goOn {
		return text, nil
	}
	// As transformers does: the prompt ends with the last message's content,
	// which the template may have trimmed.
	final := c.messages[len(c.messages)-1].Content
	at := strings.LastIndex(text, strings.TrimSpace(final))
	if at < 0 {
		return "", invalid("", "continue_final_message is set but the final message does not appear in the chat after applying the chat template!")
	}
	left := strings.TrimLeft(final, " \t\r\n")
	if strings.HasPrefix(text[at:], left) {
		return text[:at+len(left)], nil
	}
	return text[:at+len(strings.TrimSpace(final))], nil
}

// size refuses messages that are too long to be rendered.
func (s *Server) size(c conversation) *refusal {
	var all strings.Builder
	for _, m := range c.messages {
		all.WriteString(m.Content)
	}
	return s.tooLong(all.String())
}
