//go:build torch

package torch

import (
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/pack"
)

// sequence is a prompt and what follows it; the log-probs of rest are wanted.
type sequence struct {
	prompt, rest []int32 // neither is empty
}

func (s sequence) len() int { return len(s.prompt) + len(s.rest) }

// row is a pack ready for the network: sequences end to end, no padding.
type row struct {
	members   []int   // which sequences, by the caller's index
	lengths   []int64 // tokens of each member; they sum to T
	ids       []int64 // [T]
	positions []int64 // [T], from 0 in each member
	heads     []int64 // [N] the tokens whose hidden state predicts a wanted token
	targets   []int64 // [N] the wanted tokens, member by member
}

// packRows groups seqs into rows of at most budget tokens (a longer sequence
// gets a row of its own).
func packRows(seqs []sequence, budget int) []row {
	return rowsOf(seqs, budget, pack.FirstFitDecreasing)
}

// microBatches are the rows of a mini-batch. verl's aggregation depends on how
// it is cut, so there they are cut as verl does.
func microBatches(mini []*sample, cfg updater.Config) []row {
	if cfg.Aggregation == updater.TokenMeanVerl {
		return rowsOf(sequences(mini), cfg.MaxPackTokens, pack.Balanced)
	}
	return packRows(sequences(mini), cfg.MaxPackTokens)
}

func rowsOf(seqs []sequence, budget int, cut func(lengths []int, budget int) [][]int) []row {
	lengths := make([]int, len(seqs))
	for i, s := range seqs {
		lengths[i] = s.len()
	}
	var rows []row
	for _, members := range cut(lengths, budget) {
		rows = append(rows, newRow(seqs, members))
	}
	return rows
}

func newRow(seqs []sequence, members []int) row {
	r := row{members: members}
	for _, m := range members {
		s := seqs[m]
		start := int64(len(r.ids))
		for _, part := range [2][]int32{s.prompt, s.rest} {
			for _, id := range part {
				r.ids = append(r.ids, int64(id))
			}
		}
		for p := range int64(s.len()) {
			r.positions = append(r.positions, p)
		}
		first := start + int64(len(s.prompt)) - 1
		for i, id := range s.rest {
			r.heads = append(r.heads, first+int64(i))
			r.targets = append(r.targets, int64(id))
		}
		r.lengths = append(r.lengths, int64(s.len()))
	}
	return r
}

// split cuts v [N] into each member's part, in the order of members.
func split[E any](r row, seqs []sequence, v []E) [][]E {
	out := make([][]E, len(r.members))
	for i, m := range r.members {
		n := len(seqs[m].rest)
		out[i], v = v[:n:n], v[n:]
	}
	return out
}

// piece is a stretch of a sample's wanted tokens in a row.
type piece struct {
	sample          *sample
	member, from, n int // the sample's index, and which of its wanted tokens
	at              int // where they begin in the stretch of the row that was cut
}

// pieces cuts n of r's wanted tokens, from first on, by the samples that they
// are of; samples are by the caller's index.
func (r row) pieces(samples []*sample, first, n int) []piece {
	var out []piece
	start := 0 // of the member, among r's wanted tokens
	for _, m := range r.members {
		end := start + len(samples[m].rest)
		from, to := max(start, first), min(end, first+n)
		if from < to {
			out = append(out, piece{samples[m], m, from - start, to - from, from - first})
		}
		start = end
	}
	return out
}
