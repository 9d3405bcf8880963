package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is matched in the text itself, before the
// pre-tokenizer and the merges, as tokenizer.json describes it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space at its left along
	RStrip     bool   `json:"rstrip"`      // takes the white space at its right along
	Normalized bool   `json:"normalized"`  // matched after normalisation, else before
	Special    bool   `json:"special"`     // left out by Decode(…, true)
}

// namedToken is a special token in tokenizer_config.json: a string, or an object with its content.
type namedToken string

// UnmarshalJSON takes both spellings, and null for none.
func (n *namedToken) UnmarshalJSON(b []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if len(b) > 0 && b[0] == '{' {
		err := json.Unmarshal(b, &object)
		*n = namedToken(object.Content)
		return err
	}
	return json.Unmarshal(b, (*string)(n))
}

// addedVocab is the set of added tokens and how they divide a text.
type addedVocab struct {
	byID    map[int32]addedToken
	byText  map[string]int32
	special map[string]bool
	raw     matcher // tokens matched before normalisation
	normal  matcher // tokens matched after it
	nextID  int32   // that of a token which the model's vocabulary lacks
}

func newAddedVocab(modelVocab int) *addedVocab {
	return &addedVocab{
		byID: map[int32]addedToken{}, byText: map[string]int32{}, special: map[string]bool{},
		nextID: int32(modelVocab),
	}
}

// add registers t under the id that Hugging Face gives it: the one its content
// has, else the next after the vocabulary. It returns that id.
func (v *addedVocab) add(t addedToken, vocab map[string]int32) int32 {
	id, ok := v.byText[t.Content]
	if !ok {
		id, ok = vocab[t.Content]
	}
	if !ok {
		id = v.nextID
		v.nextID++
	}
	t.ID = id
	v.byID[id], v.byText[t.Content] = t, id
	if t.Special {
		v.special[t.Content] = true
	}
	return id
}

// build makes the two matchers; normalise is nil if the tokenizer has no normalizer.
func (v *addedVocab) build(normalise func(string) string) error {
	for _, t := range v.byID {
		m, pattern := &v.raw, t.Content
		if t.Normalized {
			if m = &v.normal; normalise != nil {
				pattern = normalise(pattern)
			}
		}
		if other, ok := m.ids[pattern]; ok {
			return fmt.Errorf("added tokens %d and %d both match %q", other, t.ID, pattern)
		}
		m.add(pattern, t)
	}
	v.raw.sort()
	v.normal.sort()
	return nil
}

// matcher finds added tokens: the leftmost, and there the longest.
type matcher struct {
	ids     map[string]int32
	tokens  map[int32]addedToken
	lengths [256][]int // by first byte: the lengths to try, longest first
	first   string     // the bytes that a pattern can start with
}

func (m *matcher) add(pattern string, t addedToken) {
	if m.ids == nil {
		m.ids, m.tokens = map[string]int32{}, map[int32]addedToken{}
	}
	m.ids[pattern], m.tokens[t.ID] = t.ID, t
	m.lengths[pattern[0]] = append(m.lengths[pattern[0]], len(pattern))
}

func (m *matcher) sort() {
	for c := range m.lengths {
		if l := m.lengths[c]; len(l) > 0 {
			slices.SortFunc(l, func(a, b int) int { return cmp.Compare(b, a) })
			m.lengths[c] = slices.Compact(l)
			m.first += string([]byte{byte(c)})
		}
	}
}

// find gives the next match in s at or after from; id is -1 if there is none.
func (m *matcher) find(s string, from int) (start, end int, id int32) {
	for i := from; i < len(s); i++ {
		if len(m.first) == 1 {
			k := strings.IndexByte(s[i:], m.first[0])
			if k < 0 {
				break
			}
			i += k
		}
		for _, n := range m.lengths[s[i]] {
			if i+n <= len(s) {
				if id, ok := m.ids[s[i:i+n]]; ok {
					return i, i + n, id
				}
			}
		}
	}
	return len(s), len(s), -1
}

// split calls text for what lies between the added tokens of s and token for
// each of them, in order.
func (m *matcher) split(s string, text func(string), token func(int32)) {
	if m.first == "" {
		text(s)
		return
	}
	done := 0
	for from := 0; ; {
		start, end, id := m.find(s, from)
		if id < 0 {
			break
		}
		from = end
		t := m.tokens[id]
		if t.SingleWord && (wordBefore(s[:start]) || wordAfter(s[end:])) {
			continue
		}
		if t.LStrip {
			start = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if t.RStrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		if done < start {
			text(s[done:start])
		}
		token(id)
		done = end
	}
	if done < len(s) {
		text(s[done:])
	}
}

func wordBefore(s string) bool { r, n := utf8.DecodeLastRuneInString(s); return n > 0 && isWord(r) }
func wordAfter(s string) bool  { r, n := utf8.DecodeRuneInString(s); return n > 0 && isWord(r) }

// isWord is \w of Unicode's regular expressions (UTS 18, annex C).
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.Other_Alphabetic, unicode.Nl, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}
