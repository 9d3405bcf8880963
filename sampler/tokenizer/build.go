package tokenizer

import (
	"fmt"
)

// maxID bounds the ids of a vocabulary: sixteen times the largest that
// published models have, small enough that a garbage id does not cost memory.
const maxID = 1 << 22

// build checks the model and makes its tables; vocab is its own vocabulary.
func (s *bpeSpec) build() (*model, error) {
	switch {
	case s.Type != "BPE":
		return nil, fmt.Errorf("model type %q is not supported (only BPE is)", s.Type)
	case len(s.Vocab) == 0:
		return nil, fmt.Errorf("model.vocab is empty")
	case s.Dropout != 0:
		return nil, fmt.Errorf("model.dropout %g is not supported", s.Dropout)
	case s.ContinuingSubwordPrefix != "":
		return nil, fmt.Errorf("model.continuing_subword_prefix %q is not supported", s.ContinuingSubwordPrefix)
	case s.EndOfWordSuffix != "":
		return nil, fmt.Errorf("model.end_of_word_suffix %q is not supported", s.EndOfWordSuffix)
	case s.ByteFallback:
		return nil, fmt.Errorf("model.byte_fallback is not supported (byte-level vocabularies have every byte)")
	}
	m := &model{words: make(map[string]int32, len(s.Vocab)), ignoreMerges: s.IgnoreMerges}
	for i := range m.bytes {
		m.bytes[i] = -1
	}
	var highest int32
	seen := make(map[int32]string, len(s.Vocab))
	for token, id := range s.Vocab {
		if id < 0 || id >= maxID {
			return nil, fmt.Errorf("model.vocab: id %d of %q is outside 0 … %d", id, token, maxID-1)
		}
		if first, ok := seen[id]; ok {
			return nil, fmt.Errorf("model.vocab: %q and %q share the id %d", min(first, token), max(first, token), id)
		}
		seen[id] = token
		highest = max(highest, id)
		if raw, ok := tokenBytes(token); ok {
			m.words[raw] = id
			if len(raw) == 1 {
				m.bytes[raw[0]] = id
			}
		}
	}
	for b, id := range m.bytes {
		if id < 0 && s.UnkToken != "" {
			return nil, fmt.Errorf("model.unk_token with a vocabulary that lacks byte 0x%02x is not supported", b)
		}
	}
	m.merges = newMergeTable(len(s.Merges))
	for rank, pair := range s.Merges {
		ids := [3]int32{}
		for i, token := range []string{pair[0], pair[1], pair[0] + pair[1]} {
			id, ok := s.Vocab[token]
			if !ok {
				return nil, fmt.Errorf("model.merges[%d] %q: %q is not in the vocabulary", rank, pair, token)
			}
			ids[i] = id
		}
		m.merges.put(ids[0], ids[1], uint32(rank), ids[2])
	}
	m.markWhole(highest)
	return m, nil
}
