package tokenizer

import "math"

// model is the byte-level BPE: immutable after loading, safe for concurrent use.
type model struct {
	words        map[string]int32 // raw bytes of every token in the byte alphabet → id
	whole        []bool           // by id: the word that reads as this token is this token
	bytes        [256]int32       // id of each single byte; -1 if the vocabulary lacks it
	merges       mergeTable
	ignoreMerges bool // a word that is in the vocabulary is that token, whatever the merges say
}

// appendWord appends the ids of one pre-tokenized word.
func (m *model) appendWord(out []int32, w string, s *scratch) []int32 {
	if id, ok := m.words[w]; ok && (m.ignoreMerges || m.whole[id]) {
		return append(out, id)
	}
	if len(w) <= shortWord {
		return m.mergeShort(out, w)
	}
	return m.mergeLong(out, w, s)
}

// markWhole fills in m.whole, so that most words cost one look-up.
func (m *model) markWhole(highest int32) {
	m.whole = make([]bool, highest+1)
	if m.ignoreMerges {
		return
	}
	var s scratch
	var ids []int32
	for w, id := range m.words {
		if w == "" {
			continue
		}
		if len(w) <= shortWord {
			ids = m.mergeShort(ids[:0], w)
		} else {
			ids = m.mergeLong(ids[:0], w, &s)
		}
		m.whole[id] = len(ids) == 1 && ids[0] == id
	}
}

// shortWord is the length in bytes up to which scanning all pairs for the
// lowest rank beats a heap.
const shortWord = 40

const noRank = math.MaxUint32

// mergeShort applies the merges lowest rank first, leftmost first among equals.
func (m *model) mergeShort(out []int32, w string) []int32 {
	var ids, next [shortWord]int32 // next: what a symbol and its right neighbour become
	var ranks [shortWord]uint32
	n := 0
	for i := range len(w) {
		if id := m.bytes[w[i]]; id >= 0 { // like Hugging Face, drop what the vocabulary cannot say
			ids[n] = id
			n++
		}
	}
	pair := func(i int) {
		if ranks[i] = noRank; i+1 < n {
			ranks[i], next[i] = m.merges.get(ids[i], ids[i+1])
		}
	}
	for i := range n {
		pair(i)
	}
	for {
		best := 0
		for i := 1; i < n; i++ {
			if ranks[i] < ranks[best] {
				best = i
			}
		}
		if n == 0 || ranks[best] == noRank {
			return append(out, ids[:n]...)
		}
		ids[best] = next[best]
		n--
		copy(ids[best+1:n], ids[best+2:n+1])
		copy(ranks[best+1:n], ranks[best+2:n+1])
		copy(next[best+1:n], next[best+2:n+1])
		pair(best)
		if best > 0 {
			pair(best - 1)
		}
	}
}
