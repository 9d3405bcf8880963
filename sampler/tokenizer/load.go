package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// config is tokenizer_config.json as far as it is read.
type config struct {
	AddedTokens  map[string]addedToken `json:"added_tokens_decoder"`
	ChatTemplate templateSpec          `json:"chat_template"`
	BOS          namedToken            `json:"bos_token"`
	EOS          namedToken            `json:"eos_token"`
	Pad          namedToken            `json:"pad_token"`
	Unk          namedToken            `json:"unk_token"`
	Sep          namedToken            `json:"sep_token"`
	CLS          namedToken            `json:"cls_token"`
	Mask         namedToken            `json:"mask_token"`
}

// names gives the special tokens under the names that templates know, those that are set.
func (c *config) names() map[string]string {
	names := map[string]string{}
	for name, token := range map[string]namedToken{
		"bos_token": c.BOS, "eos_token": c.EOS, "pad_token": c.Pad, "unk_token": c.Unk,
		"sep_token": c.Sep, "cls_token": c.CLS, "mask_token": c.Mask,
	} {
		if token != "" {
			names[name] = string(token)
		}
	}
	return names
}

// generation is what generation_config.json and config.json say about the end of a sequence.
type generation struct {
	EOS eosIDs `json:"eos_token_id"`
}

// eosIDs is a number, a list of numbers, or null.
type eosIDs []int32

// UnmarshalJSON takes all three spellings.
func (e *eosIDs) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '[' && string(b) != "null" {
		b = slices.Concat([]byte{'['}, b, []byte{']'})
	}
	if err := json.Unmarshal(b, (*[]int32)(e)); err != nil {
		return err
	}
	for _, id := range *e {
		if id < 0 {
			return fmt.Errorf("eos_token_id %d is negative", id)
		}
	}
	return nil
}

// Load reads the tokenizer of a model folder. tokenizer.json must be there;
// tokenizer_config.json, chat_template.jinja, generation_config.json and
// config.json are read where they are. The error names the file, and the part
// of it that cannot be read or is not supported.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, "tokenizer.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load tokenizer: %s does not exist: %s must be a Hugging Face model folder with a fast tokenizer (AutoTokenizer.save_pretrained writes one)", path, dir)
	} else if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	var c config
	if err := readOptional(filepath.Join(dir, "tokenizer_config.json"), &c); err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	t, err := parse(raw, &c)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %s: %w", path, err)
	}
	if err := t.loadTemplate(dir, &c); err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	if err := t.loadEOS(dir, &c); err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return t, nil
}

// parse makes a tokenizer of tokenizer.json's content and tokenizer_config.json's tokens.
func parse(raw []byte, c *config) (*Tokenizer, error) {
	var s spec
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json (is it cut off, or a Git LFS pointer?): %w", err)
	}
	if s.Version != "1.0" {
		return nil, fmt.Errorf("version %q is not supported (1.0 is)", s.Version)
	}
	p, err := s.pipeline()
	if err != nil {
		return nil, err
	}
	m, err := s.Model.build()
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{model: m, pipeline: p}
	if t.added, err = s.addTokens(c); err != nil {
		return nil, err
	}
	var normalise func(string) string
	if p.nfc {
		normalise = nfc
	}
	if err := t.added.build(normalise); err != nil {
		return nil, err
	}
	t.tokens = decodeTable(s.Model.Vocab, t.added, normalise)
	return t, nil
}

// addTokens gathers the added tokens of both files, in the order and with the
// ids that transformers gives them: tokenizer.json's, then those (or new
// settings of those) of tokenizer_config.json, then special tokens that are
// only named there.
func (s *spec) addTokens(c *config) (*addedVocab, error) {
	v := newAddedVocab(len(s.Model.Vocab))
	for _, t := range s.AddedTokens {
		if t.Content == "" {
			return nil, fmt.Errorf("added_tokens: id %d has no content", t.ID)
		}
		if id := v.add(t, s.Model.Vocab); id != t.ID {
			return nil, fmt.Errorf("added_tokens: %q has id %d, but Hugging Face would give it %d", t.Content, t.ID, id)
		}
	}
	more := make([]addedToken, 0, len(c.AddedTokens))
	for key, t := range c.AddedTokens {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || t.Content == "" {
			return nil, fmt.Errorf("added_tokens_decoder of tokenizer_config.json: %q needs a token id as key and a content", key)
		}
		t.ID = int32(id)
		more = append(more, t)
	}
	slices.SortFunc(more, func(a, b addedToken) int { return int(a.ID) - int(b.ID) })
	for _, t := range more {
		if id := v.add(t, s.Model.Vocab); id != t.ID {
			return nil, fmt.Errorf("added_tokens_decoder of tokenizer_config.json gives %q the id %d, which is %d here: the two files do not belong together", t.Content, t.ID, id)
		}
	}
	for _, name := range []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"} {
		content := c.names()[name]
		if _, ok := v.byText[content]; content != "" && !ok {
			v.add(addedToken{Content: content, Special: true}, s.Model.Vocab)
		}
	}
	return v, nil
}

// decodeTable gives what each id decodes to. Like Hugging Face's decoder it
// reads every token in the byte alphabet, an added one too, and one that has a
// rune outside it as it stands.
func decodeTable(vocab map[string]int32, added *addedVocab, normalise func(string) string) []token {
	var highest int32
	for _, id := range vocab {
		highest = max(highest, id)
	}
	for id := range added.byID {
		highest = max(highest, id)
	}
	table := make([]token, highest+1)
	put := func(id int32, text string, special bool) {
		raw, ok := tokenBytes(text)
		if !ok {
			raw = text
		}
		table[id] = token{raw, special, true}
	}
	for text, id := range vocab {
		put(id, text, added.special[text])
	}
	for id, t := range added.byID {
		text := t.Content
		if t.Normalized && normalise != nil {
			text = normalise(text)
		}
		put(id, text, added.special[text])
	}
	return table
}

// loadEOS fills in t.eos.
func (t *Tokenizer) loadEOS(dir string, c *config) error {
	for _, name := range []string{"generation_config.json", "config.json"} {
		var g generation
		if err := readOptional(filepath.Join(dir, name), &g); err != nil {
			return err
		}
		if len(g.EOS) > 0 {
			t.eos = g.EOS
			return nil
		}
	}
	if id, ok := t.added.byText[string(c.EOS)]; ok {
		t.eos = []int32{id}
	}
	return nil
}

// readOptional decodes a JSON file into v, which it leaves alone if there is no such file.
func readOptional(path string, v any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
