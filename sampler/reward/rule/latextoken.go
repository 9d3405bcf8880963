package rule

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	endToken tokenKind = iota
	charToken
	macroToken
	openToken
	closeToken
	mathToken
	specialsToken
	beginToken
	finishToken
)

type token struct {
	kind      tokenKind
	text      string // the character, macro, brace, delimiter or environment
	pos, end  int
	preSpace  string // skipped before pos; at the end, what is left of the text
	postSpace string
}

// token reads the token at pos. Brackets count as braces where an optional argument
// may be, \begin and \end as macros where a single expression is read.
func (w *walker) token(pos int, brackets, environments bool) token {
	s, start := w.s, pos
	defer func() { w.budget -= max(pos-start, 0) + 1 }()
	for pos < len(s) {
		r, size := utf8.DecodeRuneInString(s[pos:])
		if !isSpace(r) {
			break
		}
		pos += size
		if strings.HasSuffix(s[start:pos], "\n\n") {
			return token{kind: charToken, text: "\n\n", pos: pos - 2, end: pos, preSpace: s[start : pos-2]}
		}
	}
	if pos == len(s) {
		return token{kind: endToken, pos: pos, preSpace: s[start:]}
	}
	t := token{pos: pos, preSpace: s[start:pos]}
	switch c := s[pos]; {
	case c == '\\':
		if pos+1 == len(s) {
			return token{kind: endToken, pos: start} // a lone backslash ends the text
		}
		w.escape(&t, environments)
		pos = t.end
		return t
	case c == '{', c == '[' && brackets:
		t.kind, t.end = openToken, pos+1
	case c == '}', c == ']' && brackets:
		t.kind, t.end = closeToken, pos+1
	default:
		if n := specials(s[pos:]); n > 0 {
			t.kind, t.end = specialsToken, pos+n
		} else {
			_, size := utf8.DecodeRuneInString(s[pos:])
			t.kind, t.end = charToken, pos+size
		}
	}
	t.text = s[pos:t.end]
	pos = t.end
	return t
}

// specials is the length of the characters with a meaning of their own that s begins with.
func specials(s string) int {
	switch s[0] {
	case '&', '~':
		return 1
	case '-':
		if strings.HasPrefix(s, "---") {
			return 3
		}
		if strings.HasPrefix(s, "--") {
			return 2
		}
	case '`', '\'':
		if len(s) > 1 && s[1] == s[0] {
			return 2
		}
	case '!', '?':
		if len(s) > 1 && s[1] == '`' {
			return 2
		}
	}
	return 0
}

// escape reads what begins with the backslash at t.pos.
func (w *walker) escape(t *token, environments bool) {
	s := w.s
	r, size := utf8.DecodeRuneInString(s[t.pos+1:])
	end := t.pos + 1 + size
	alpha := isAlpha(r)
	for alpha && end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if !isAlpha(r) {
			break
		}
		end += size
	}
	t.kind, t.text, t.end = macroToken, s[t.pos+1:end], end
	switch t.text {
	case "(", ")", "[", "]":
		t.kind, t.text = mathToken, s[t.pos:end]
		return
	case "begin", "end":
		if !environments {
			break
		}
		name, n := environmentName(s[end:])
		if n == 0 {
			t.kind, t.text = charToken, s[t.pos:end]
			return
		}
		t.kind, t.end = beginToken, end+n
		if t.text == "end" {
			t.kind = finishToken
		}
		t.text = name
		return
	}
	if !alpha {
		return
	}
	space := end
	for end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if !isSpace(r) {
			break
		}
		end += size
		if strings.HasSuffix(s[space:end], "\n\n") {
			end -= 2
			break
		}
	}
	t.postSpace, t.end = s[space:end], end
}

// environmentName reads {name}, white space before it; n is 0 if it is not there.
func environmentName(s string) (name string, n int) {
	rest := strings.TrimLeftFunc(s, isSpace)
	if !strings.HasPrefix(rest, "{") {
		return "", 0
	}
	rest = rest[1:]
	end := strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) && !strings.ContainsRune("* .-", r) })
	if end <= 0 || rest[end] != '}' {
		return "", 0
	}
	return rest[:end], len(s) - len(rest) + end + 1
}

// isWord is what \w matches.
func isWord(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || isAlpha(r) || r >= utf8.RuneSelf && unicode.IsNumber(r) && known(r)
}
