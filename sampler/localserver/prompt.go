package localserver

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// prompt is one prompt of a request.
type prompt struct {
	ids  []int32
	text *string // as it came, if it came as text

	highest int64 // of the ids, as it came
}

// maxPrompts is how many prompts a request can have, as in vLLM.
const maxPrompts = 1024

// rawPrompts are prompts before they are tokenised and checked: all texts, or
// all ids.
type rawPrompts struct {
	none  bool // an empty list
	texts []string
	ids   []rawIDs
}

// errNoText is a text with half a surrogate pair in it.
var errNoText = invalid("", "TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]")

type rawIDs struct {
	first []int64 // as many as the context has, and one
	n     int
}

// prompts reads a text, ids, or a list of either. Of ids it keeps those that
// a context of maxLen can have.
func (f *form) prompts(maxLen int) (rawPrompts, *refusal) {
	const name = "prompt"
	raw := f.fields[name]
	switch k := kindOf(raw); {
	case k == kindNone || k == kindNull || k == kindString && len(raw) == 2:
		return rawPrompts{}, invalid(name, "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)")
	case k == kindString:
		if lonely(raw) {
			return rawPrompts{}, errNoText
		}
		return rawPrompts{texts: []string{unquote(raw)}}, nil
	case k != kindList:
		f.wrongPrompt(raw)
		return rawPrompts{}, nil
	}
	kinds, n := map[kind]int{}, 0
	s := scanner{b: raw}
	s.elements(0, 0, func(x []byte) { kinds[kindOf(x)]++; n++ })
	if n > maxPrompts && kinds[kindInt]+kinds[kindBool] != n {
		return rawPrompts{}, invalid(name, fmt.Sprintf("prompt list length %d exceeds the maximum allowed count of %d. To increase this limit, set the VLLM_MAX_COMPLETION_PROMPTS environment variable. (parameter=prompt)", n, maxPrompts))
	}
	out, p := rawPrompts{}, &problems{}
	switch {
	case n > 0 && kinds[kindString] == n:
		for _, x := range list(raw) {
			if lonely(x) {
				return rawPrompts{}, errNoText
			}
			out.texts = append(out.texts, unquote(x))
		}
	case n > 0 && kinds[kindList] == n:
		for i, x := range list(raw) {
			first, length := p.ints(x, f.loc(name)+"."+strconv.Itoa(i), true, maxLen+1)
			out.ids = append(out.ids, rawIDs{first, length})
		}
	default:
		first, length := p.ints(raw, f.loc(name), true, maxLen+1)
		out.ids, out.none = []rawIDs{{first, length}}, n == 0
	}
	if p.n > 0 {
		f.wrongPrompt(raw)
	}
	return out, nil
}

// wrongPrompt complains as pydantic does of a value that is of none of four
// types: by each of them in turn.
func (f *form) wrongPrompt(raw []byte) {
	const aList, aString = "Input should be a valid list", "Input should be a valid string"
	loc := f.loc("prompt")
	add := func(kind, where, message string, input []byte) { f.problems.add(kind, where, message, input, "") }
	if kindOf(raw) != kindList {
		add("list_type", loc, aList, raw)
		add("list_type", loc, aList, raw)
		add("string_type", loc, aString, raw)
		add("list_type", loc, aList, raw)
		return
	}
	f.problems.ints(raw, loc, true, 0)
	elements := list(raw)
	elements = elements[:min(len(elements), maxPrompts)]
	for i, x := range elements {
		at := loc + "." + strconv.Itoa(i)
		if kindOf(x) != kindList {
			add("list_type", at, aList, x)
			continue
		}
		f.problems.ints(x, at, true, 0)
	}
	add("string_type", loc, aString, raw)
	for i, x := range elements {
		if kindOf(x) != kindString {
			add("string_type", loc+"."+strconv.Itoa(i), aString, x)
		}
	}
}

// tokenise makes prompts of what came, and refuses those that leave no room
// in the context. A text that cannot fit is not tokenised.
func (s *Server) tokenise(raw rawPrompts) ([]prompt, *refusal) {
	var out []prompt
	for _, text := range raw.texts {
		if bad := s.tooLong(text); bad != nil {
			return nil, bad
		}
		ids := s.o.Tokenizer.Encode(text)
		ids = ids[:min(len(ids), s.model.MaxLen+1)] // vLLM stops counting there
		out = append(out, prompt{ids: ids, text: &text})
	}
	for _, ids := range raw.ids {
		if bad := s.checkLength(ids.n); bad != nil {
			return nil, bad
		}
		p := prompt{ids: make([]int32, len(ids.first))}
		for i, id := range ids.first {
			p.ids[i], p.highest = int32(small(id)), max(p.highest, id)
		}
		out = append(out, p)
	}
	if raw.none {
		return nil, invalid("", "You must pass at least one prompt")
	}
	for _, p := range out {
		if bad := s.checkLength(len(p.ids)); bad != nil {
			return nil, bad
		}
	}
	return out, nil
}

// tooLong refuses a text of more characters than the context's tokens can cover.
func (s *Server) tooLong(text string) *refusal {
	most := s.model.MaxLen * s.maxChars
	if len(text) <= most {
		return nil
	}
	if n := utf8.RuneCountInString(text); n > most {
		return invalidf("input_text", n, "This model's maximum context length is %d tokens. However, your prompt contains %d characters (more than %d characters, which is the upper bound for %d input tokens). Please reduce the length of the input prompt.", s.model.MaxLen, n, most, s.model.MaxLen)
	}
	return nil
}

func (s *Server) checkLength(n int) *refusal {
	if n <= s.model.MaxLen {
		return nil
	}
	length := strconv.Itoa(n)
	if n == s.model.MaxLen+1 {
		length = "at least " + length
	}
	return invalidf("input_tokens", n, "This model's maximum context length is %d tokens. However, your prompt contains %s input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.", s.model.MaxLen, length)
}

// checkPrompt is what the engine refuses of a prompt.
func (s *Server) checkPrompt(p prompt) *refusal {
	if len(p.ids) == 0 {
		return invalid("", "The decoder prompt cannot be empty")
	}
	highest := p.highest
	for _, id := range p.ids {
		highest = max(highest, int64(id))
	}
	if highest >= int64(s.model.Vocab) {
		return invalid("", fmt.Sprintf("Token id %d is out of vocabulary", highest))
	}
	return nil
}
