package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// TrainOptions say what tokenizer [Train] makes.
type TrainOptions struct {
	// Vocab is the most ids in all: the 256 bytes, merges, then Special. A
	// corpus in which every word has become one symbol gives fewer.
	Vocab int
	// Special are the added tokens, which get the highest ids; EOS and Pad are
	// two of them.
	Special  []string
	EOS, Pad string
	// Template is the chat template, Jinja.
	Template string
}

// Train makes a byte-level BPE with Qwen2's pipeline out of a corpus (Sennrich,
// Haddow, Birch, arXiv 1508.07909: the most frequent pair is merged, again and
// again) and writes tokenizer.json, tokenizer_config.json and
// chat_template.jinja into dir, which exists. The same arguments give the same
// bytes: of two pairs that are equally frequent the lower in byte order is
// merged first. It is for small vocabularies: each merge looks at every
// distinct word.
func Train(dir string, corpus []string, o TrainOptions) error {
	for _, named := range []string{o.EOS, o.Pad} {
		if !slices.Contains(o.Special, named) {
			return fmt.Errorf("train tokenizer: %q is not one of the special tokens", named)
		}
	}
	merges, err := learnMerges(countWords(corpus), o.Vocab-256-len(o.Special))
	if err != nil {
		return fmt.Errorf("train tokenizer: %w", err)
	}
	vocab := map[string]int32{}
	for b := range 256 {
		vocab[string(byteRune(byte(b)))] = int32(b)
	}
	for _, m := range merges {
		vocab[m[0]+m[1]] = int32(len(vocab))
	}
	var added []addedToken
	for i, text := range o.Special {
		added = append(added, addedToken{ID: int32(len(vocab) + i), Content: text, Special: true})
	}
	files := map[string]any{
		"tokenizer.json": map[string]any{
			"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
			"normalizer": map[string]any{"type": "NFC"},
			"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
				map[string]any{"type": "Split", "pattern": map[string]string{"Regex": patternQwen2}, "behavior": "Isolated", "invert": false},
				byteLevel(false),
			}},
			"post_processor": byteLevel(false), "decoder": byteLevel(false),
			"model": map[string]any{
				"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
				"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
			},
		},
		"tokenizer_config.json": map[string]any{
			"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": o.EOS, "pad_token": o.Pad, "clean_up_tokenization_spaces": false,
		},
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b, err := json.MarshalIndent(files[name], "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("train tokenizer: %w", err)
		}
	}
	return os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(o.Template), 0o644)
}

func byteLevel(regex bool) map[string]any {
	return map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": regex}
}

// word is a distinct pre-tokenized word as the symbols that it is cut into so far.
type word struct {
	symbols []string
	count   int
}

func countWords(corpus []string) []word {
	counts := map[string]int{}
	for _, text := range corpus {
		for text = nfc(text); len(text) > 0; {
			n := scanQwen2(text)
			counts[text[:n]]++
			text = text[n:]
		}
	}
	var words []word
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		w := word{count: counts[text]}
		for i := range len(text) {
			w.symbols = append(w.symbols, string(byteRune(text[i])))
		}
		words = append(words, w)
	}
	return words
}

// learnMerges returns up to n merges in the order of their rank.
func learnMerges(words []word, n int) ([][2]string, error) {
	if n < 0 {
		return nil, errors.New("the vocabulary has no room for the 256 bytes and the special tokens")
	}
	merges := make([][2]string, 0, n)
	for len(merges) < n {
		pairs := map[[2]string]int{}
		for _, w := range words {
			for i := range len(w.symbols) - 1 {
				pairs[[2]string{w.symbols[i], w.symbols[i+1]}] += w.count
			}
		}
		if len(pairs) == 0 {
			break
		}
		best := slices.MaxFunc(slices.Collect(maps.Keys(pairs)), func(a, b [2]string) int {
			return cmp.Or(cmp.Compare(pairs[a], pairs[b]), strings.Compare(b[0], a[0]), strings.Compare(b[1], a[1]))
		})
		merges = append(merges, best)
		for i := range words {
			words[i].merge(best)
		}
	}
	return merges, nil
}

// merge joins every occurrence of the pair, from the left.
func (w *word) merge(pair [2]string) {
	out := w.symbols[:0]
	for i := 0; i < len(w.symbols); i++ {
		s := w.symbols[i]
		if i+1 < len(w.symbols) && s == pair[0] && w.symbols[i+1] == pair[1] {
			s += w.symbols[i+1]
			i++
		}
		out = append(out, s)
	}
	w.symbols = out
}
