package localserver

import (
	"net/http"
	"strconv"
)

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	f := s.form(w, r, true)
	if f == nil {
		return
	}
	text, strs, bad := s.parseTokenize(f)
	if bad != nil {
		bad.write(w)
		return
	}
	ids := s.o.Tokenizer.Encode(text)
	reply := struct {
		Count       int      `json:"count"`
		MaxModelLen int      `json:"max_model_len"`
		Tokens      []int32  `json:"tokens"`
		TokenStrs   []string `json:"token_strs"`
	}{len(ids), s.model.MaxLen, append([]int32{}, ids...), nil}
	if strs {
		reply.TokenStrs = s.o.Tokenizer.Strings(ids)
	}
	writeJSON(w, reply)
}

// parseTokenize gives the text of a prompt or of messages.
func (s *Server) parseTokenize(f *form) (text string, strs bool, bad *refusal) {
	var c conversation
	chat := kindOf(f.fields["messages"]) != kindNone
	if chat {
		if c, bad = f.conversation(); bad != nil {
			return "", false, bad
		}
	} else {
		if _, ok := f.fields["prompt"]; !ok {
			f.problems.add("missing", f.loc("prompt"), "Field required", f.whole(), "")
		}
		text = deref(f.text("prompt", false), "")
		if f.problems.n > 0 { // it is neither of two kinds of requests
			f.problems.asItCame = true
			f.problems.add("missing", f.loc("messages"), "Field required", f.whole(), "")
		}
	}
	model := f.text("model", true)
	strs = f.flag("return_token_strs", true, false)
	if bad := f.problems.refusal(); bad != nil {
		return "", false, bad
	}
	if bad := s.checkModel(model); bad != nil {
		return "", false, bad
	}
	if chat {
		text, bad = s.render(c)
	}
	return text, strs, bad
}

func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) {
	f := s.form(w, r, true)
	if f == nil {
		return
	}
	ids, bad := s.parseDetokenize(f)
	if bad != nil {
		bad.write(w)
		return
	}
	writeJSON(w, map[string]string{"prompt": s.o.Tokenizer.Decode(ids, false)})
}

func (s *Server) parseDetokenize(f *form) ([]int32, *refusal) {
	const name = "tokens"
	var ids []int64
	switch raw, ok := f.fields[name]; {
	case !ok:
		f.problems.add("missing", f.loc(name), "Field required", f.whole(), "")
	case kindOf(raw) != kindList:
		f.problems.add("list_type", f.loc(name), "Input should be a valid list", raw, "")
	default:
		var n int
		if ids, n = f.problems.ints(raw, f.loc(name), true, maxIDs); n > maxIDs {
			f.problems.add("too_long", f.loc(name), "List should have at most "+strconv.Itoa(maxIDs)+" items", raw, "")
		}
	}
	model := f.text("model", true)
	if bad := f.problems.refusal(); bad != nil {
		return nil, bad
	}
	if bad := s.checkModel(model); bad != nil {
		return nil, bad
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(small(id))
	}
	return out, nil
}
