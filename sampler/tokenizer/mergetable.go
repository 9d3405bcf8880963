package tokenizer

import "math/bits"

// mergeTable maps a pair of ids to the rank of its merge and the id that it
// becomes: open addressing, at most half full, read-only once built.
type mergeTable struct {
	slots []mergeSlot
	shift uint
}

type mergeSlot struct {
	pair uint64 // left<<32 | right, plus 1; 0 is an empty slot
	rank uint32
	id   int32
}

func newMergeTable(n int) mergeTable {
	size := max(4, bits.Len(uint(n)*2))
	return mergeTable{slots: make([]mergeSlot, 1<<size), shift: uint(64 - size)}
}

func (t *mergeTable) slot(left, right int32) (*mergeSlot, uint64) {
	pair := (uint64(uint32(left))<<32 | uint64(uint32(right))) + 1
	mask := uint64(len(t.slots) - 1)
	for i := (pair * 0x9e3779b97f4a7c15) >> t.shift; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.pair == pair || s.pair == 0 {
			return s, pair
		}
	}
}

// put adds a merge; of two for one pair the later wins, as in Hugging Face.
func (t *mergeTable) put(left, right int32, rank uint32, id int32) {
	s, pair := t.slot(left, right)
	*s = mergeSlot{pair, rank, id}
}

// get gives the rank and the result of a merge; noRank if there is none.
func (t *mergeTable) get(left, right int32) (rank uint32, id int32) {
	if s, _ := t.slot(left, right); s.pair != 0 {
		return s.rank, s.id
	}
	return noRank, -1
}
