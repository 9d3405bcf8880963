package tokenizer

// scratch is the memory that long words are merged in.
type scratch struct {
	symbols []symbol
	queue   []candidate // binary heap, lowest key first
}

// symbol is a node of the linked list of a word's tokens.
type symbol struct {
	id         int32 // -1 once merged into the symbol at its left
	prev, next int32 // -1 at the ends
}

// candidate is a possible merge of a symbol and its right neighbour.
type candidate struct {
	key         uint64 // rank<<32 | index of the left symbol
	left, right int32  // the ids that stood there when it was queued
	id          int32  // what they become
}

// mergeLong is mergeShort in O(n log n), for words such as a long run of one
// character, or of a script that is written without spaces.
func (m *model) mergeLong(out []int32, w string, s *scratch) []int32 {
	s.symbols, s.queue = s.symbols[:0], s.queue[:0]
	for i := range len(w) {
		if id := m.bytes[w[i]]; id >= 0 {
			n := int32(len(s.symbols))
			s.symbols = append(s.symbols, symbol{id, n - 1, n + 1})
		}
	}
	if len(s.symbols) == 0 {
		return out
	}
	s.symbols[len(s.symbols)-1].next = -1
	for i := range s.symbols {
		s.propose(m, int32(i))
	}
	for len(s.queue) > 0 {
		c := s.pop()
		pos := int32(uint32(c.key))
		left := &s.symbols[pos]
		if left.id != c.left || left.next < 0 || s.symbols[left.next].id != c.right {
			continue // one of the two has been merged since
		}
		right := &s.symbols[left.next]
		left.id, left.next = c.id, right.next
		right.id = -1
		if left.next >= 0 {
			s.symbols[left.next].prev = pos
			s.propose(m, pos)
		}
		if left.prev >= 0 {
			s.propose(m, left.prev)
		}
	}
	for i := int32(0); i >= 0; i = s.symbols[i].next {
		out = append(out, s.symbols[i].id)
	}
	return out
}

// propose queues the merge of the symbol at pos and its right neighbour, if the model has one.
func (s *scratch) propose(m *model, pos int32) {
	left := s.symbols[pos]
	if left.next < 0 {
		return
	}
	right := s.symbols[left.next].id
	if rank, id := m.merges.get(left.id, right); rank != noRank {
		s.push(candidate{uint64(rank)<<32 | uint64(pos), left.id, right, id})
	}
}

// push and pop are container/heap's without its interface, which allocates for each element.
func (s *scratch) push(c candidate) {
	s.queue = append(s.queue, c)
	q, i := s.queue, len(s.queue)-1
	for i > 0 && q[(i-1)/2].key > c.key {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = c
}

func (s *scratch) pop() candidate {
	top, n := s.queue[0], len(s.queue)-1
	last := s.queue[n]
	s.queue = s.queue[:n]
	q, i := s.queue, 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && q[child+1].key < q[child].key {
			child++
		}
		if last.key <= q[child].key {
			break
		}
		q[i] = q[child]
		i = child
	}
	if n > 0 {
		q[i] = last
	}
	return top
}
