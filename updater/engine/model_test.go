package engine

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/justrl/justrl/internal/splitmix"
)

// toy is a Model whose logits are a hash of the weights and of all tokens of a
// sequence so far, read back from the cache: a slot that holds another token
// than it should shows in what is drawn.
type toy struct {
	t       testing.TB
	vocab   int
	weights uint64
	cells   []cell
	passes  int
	before  func(b *Batch) // of every pass
	nan     bool
	err     error
}

type cell struct {
	id, position int32
	weights      uint64
}

func newToy(t testing.TB, vocab, blocks int) *toy {
	return &toy{t: t, vocab: vocab, weights: 1, cells: make([]cell, blocks*BlockTokens)}
}

func (m *toy) Vocab() int  { return m.vocab }
func (m *toy) Blocks() int { return len(m.cells) / BlockTokens }

func (m *toy) Forward(b *Batch) error {
	m.passes++
	if m.before != nil {
		m.before(b)
	}
	if m.err != nil {
		return m.err
	}
	for i, slot := range b.Slots {
		m.cells[slot] = cell{b.IDs[i], b.Positions[i], m.weights}
	}
	b.Logits = b.Logits[:0]
	for _, row := range b.Want {
		h := m.weights
		for p := int32(0); p <= b.Positions[row]; p++ {
			block := b.Tables[b.Starts[row]+p/BlockTokens]
			c := m.cells[block*BlockTokens+p%BlockTokens]
			if c.position != p || c.weights != m.weights {
				m.t.Errorf("row %d, position %d: block %d holds position %d of weights %d", row, p, block, c.position, c.weights)
			}
			h = splitmix.Mix(h ^ uint64(c.id))
		}
		b.Logits = append(b.Logits, toyLogits(h, m.vocab, m.nan)...)
	}
	return nil
}

// toyLogits spreads from -3 to 3.
func toyLogits(h uint64, vocab int, nan bool) []float32 {
	row := make([]float32, vocab)
	for v := range row {
		row[v] = float32(splitmix.Mix(h^uint64(v)<<32)%6001)/1000 - 3
		if nan {
			row[v] = float32(math.NaN())
		}
	}
	return row
}

func (m *toy) Draw(b *Batch, draws []Draw) {
	for i := range draws {
		d := &draws[i]
		raw := b.Logits[d.Row*m.vocab : (d.Row+1)*m.vocab]
		from := raw
		if d.Adjusted >= 0 {
			from = b.Adjusted[d.Adjusted*m.vocab : (d.Adjusted+1)*m.vocab]
		}
		d.Decide(raw, from)
	}
}
func (m *toy) Copy(from, to int32) {
	copy(m.cells[to*BlockTokens:(to+1)*BlockTokens], m.cells[from*BlockTokens:(from+1)*BlockTokens])
}

func (m *toy) Load(dir string) error {
	if dir == "" {
		return errors.New("no folder")
	}
	_, err := fmt.Sscan(dir, &m.weights)
	return err
}

func (m *toy) Checksums() (map[string]string, error) {
	return map[string]string{"w": fmt.Sprint(m.weights)}, nil
}

// reference generates sample j of q by the definition, one token at a time.
func reference(weights uint64, vocab int, o Options, q Request, j int) Sample {
	s := Sample{Finish: FinishLength, StopToken: -1}
	tokens := append([]int32(nil), q.Prompt...)
	for len(s.Tokens) < min(q.MaxTokens, o.MaxLen-len(q.Prompt)) {
		h := weights
		for _, id := range tokens {
			h = splitmix.Mix(h ^ uint64(id))
		}
		row := toyLogits(h, vocab, false)
		ends := func(id int32) bool {
			for _, stop := range q.StopTokenIDs {
				if id == stop {
					return true
				}
			}
			for _, eos := range o.EOS {
				if id == eos && !q.IgnoreEOS {
					return true
				}
			}
			return false
		}
		from := append([]float32(nil), row...)
		for v := range from {
			if len(s.Tokens) < q.MinTokens && ends(int32(v)) {
				from[v] = float32(math.Inf(-1))
			}
		}
		d := Draw{Temperature: q.Temperature, TopP: q.TopP, TopK: q.TopK, MinP: q.MinP, Uniform: uniform(q.Seed+int64(j), len(s.Tokens))}
		d.Decide(row, from)
		id := d.ID
		tokens = append(tokens, id)
		s.Tokens = append(s.Tokens, Token{ID: id, Logprob: d.Logprob, Rank: d.Rank})
		if ends(id) {
			s.Finish = FinishStop
			for _, stop := range q.StopTokenIDs {
				if id == stop {
					s.StopToken = id
				}
			}
			break
		}
	}
	return s
}
