package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// spec is tokenizer.json as far as it is read.
type spec struct {
	Version       string          `json:"version"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         bpeSpec         `json:"model"`
}

// bpeSpec is the model of tokenizer.json.
type bpeSpec struct {
	Type                    string           `json:"type"`
	Dropout                 float64          `json:"dropout"`
	UnkToken                string           `json:"unk_token"`
	ContinuingSubwordPrefix string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string           `json:"end_of_word_suffix"`
	ByteFallback            bool             `json:"byte_fallback"`
	IgnoreMerges            bool             `json:"ignore_merges"`
	Vocab                   map[string]int32 `json:"vocab"`
	Merges                  []mergeSpec      `json:"merges"`
}

// mergeSpec is one merge: "a b", or ["a", "b"] in files of tokenizers 0.20 and later.
type mergeSpec [2]string

// UnmarshalJSON takes both spellings.
func (m *mergeSpec) UnmarshalJSON(b []byte) error {
	var parts []string
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &parts); err != nil {
			return err
		}
	} else {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		parts = strings.Split(s, " ")
	}
	if len(parts) != 2 {
		return fmt.Errorf("merge %s is not a pair", b)
	}
	*m = mergeSpec(parts)
	return nil
}

// part is a stage of the pipeline; each kind uses some of the fields.
type part struct {
	Type             string          `json:"type"`
	Normalizers      []part          `json:"normalizers"`
	PreTokenizers    []part          `json:"pretokenizers"`
	Processors       []part          `json:"processors"`
	Decoders         []part          `json:"decoders"`
	Pattern          json.RawMessage `json:"pattern"`
	Behavior         string          `json:"behavior"`
	Invert           bool            `json:"invert"`
	AddPrefixSpace   bool            `json:"add_prefix_space"`
	UseRegex         *bool           `json:"use_regex"` // true if missing
	IndividualDigits bool            `json:"individual_digits"`
}

// parts reads a stage of the pipeline as a flat list: nothing for null, the
// members of a Sequence, else one.
func parts(raw json.RawMessage) ([]part, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	return flatten(p), nil
}

func flatten(p part) []part {
	if p.Type != "Sequence" {
		return []part{p}
	}
	var out []part
	for _, list := range [][]part{p.Normalizers, p.PreTokenizers, p.Processors, p.Decoders} {
		for _, q := range list {
			out = append(out, flatten(q)...)
		}
	}
	return out
}

// pipeline is what the stages around the model come to.
type pipeline struct {
	nfc    bool
	digits bool // cut number characters out first
	scan   scanner
}

// pipeline recognises the stages, or names the first that it does not.
func (s *spec) pipeline() (pipeline, error) {
	var p pipeline
	normalizers, err := parts(s.Normalizer)
	if err != nil {
		return p, fmt.Errorf("normalizer: %w", err)
	}
	for _, n := range normalizers {
		if n.Type != "NFC" {
			return p, fmt.Errorf("normalizer %q is not supported (only NFC is)", n.Type)
		}
		p.nfc = true
	}
	pre, err := parts(s.PreTokenizer)
	if err != nil {
		return p, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if p.digits, p.scan, err = preTokenizer(pre); err != nil {
		return p, err
	}
	post, err := parts(s.PostProcessor)
	if err != nil {
		return p, fmt.Errorf("post_processor: %w", err)
	}
	for _, q := range post { // both act only where special tokens are added around the text
		if q.Type != "ByteLevel" && q.Type != "TemplateProcessing" {
			return p, fmt.Errorf("post_processor %q is not supported (ByteLevel and TemplateProcessing are)", q.Type)
		}
	}
	decoders, err := parts(s.Decoder)
	if err != nil {
		return p, fmt.Errorf("decoder: %w", err)
	}
	if len(decoders) != 1 || decoders[0].Type != "ByteLevel" {
		return p, fmt.Errorf("decoder %s is not supported (only ByteLevel is)", types(decoders))
	}
	return p, nil
}

// preTokenizer recognises the pre-tokenizers by their exact settings.
func preTokenizer(list []part) (digits bool, scan scanner, err error) {
	kinds := types(list)
	if len(list) == 0 || list[len(list)-1].Type != "ByteLevel" {
		return false, nil, fmt.Errorf("pre_tokenizer %s is not supported: it must end in ByteLevel", kinds)
	}
	last := list[len(list)-1]
	if last.AddPrefixSpace {
		return false, nil, errors.New("pre_tokenizer ByteLevel with add_prefix_space is not supported")
	}
	regex := last.UseRegex == nil || *last.UseRegex
	switch {
	case kinds == "ByteLevel" && regex:
		return false, scanGPT2, nil
	case kinds == "Digits+ByteLevel" && regex && list[0].IndividualDigits:
		return true, scanGPT2, nil
	case kinds == "Split+ByteLevel" && !regex:
		scan, err = splitPattern(list[0])
		return false, scan, err
	}
	return false, nil, fmt.Errorf("pre_tokenizer %s with use_regex=%t is not supported", kinds, regex)
}

func splitPattern(p part) (scanner, error) {
	if p.Behavior != "Isolated" || p.Invert {
		return nil, fmt.Errorf("pre_tokenizer Split with behavior %q, invert %t is not supported (Isolated is)", p.Behavior, p.Invert)
	}
	var pattern struct{ Regex, String *string }
	if err := json.Unmarshal(p.Pattern, &pattern); err != nil || pattern.Regex == nil {
		return nil, fmt.Errorf("pre_tokenizer Split needs a Regex pattern, not %.100s", p.Pattern)
	}
	switch *pattern.Regex {
	case patternQwen2:
		return scanQwen2, nil
	case patternLlama3:
		return scanLlama3, nil
	}
	return nil, fmt.Errorf("pre_tokenizer pattern %q is not supported (Qwen2's and Llama-3's are)", *pattern.Regex)
}

func types(list []part) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Type
	}
	if len(names) == 0 {
		return "null"
	}
	return strings.Join(names, "+")
}
