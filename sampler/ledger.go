package sampler

import "fmt"

// Ledger keeps the finished rollouts of a batch, so that a batch that was
// broken off goes on where it stopped. Implementations are safe for concurrent use.
type Ledger interface {
	// Known returns the samples of row that finished before: scored, each index
	// at most once, in any order, with the weights version that they were
	// sampled with. They are not asked for again.
	Known(row Row) ([]Rollout, error)
	// Add keeps a rollout that has just been scored. Until it returns nil the
	// rollout does not count; its error ends the batch.
	Add(row Row, r Rollout) error
}

// ask is one request of a batch: samples of a row that nobody has yet.
type ask struct {
	row          int // index into the batch's rows
	first, count int
	expected     int // tokens of a sample; 0 is unknown
}

// restore fills in what the ledger knows, tells OnRollout of it, and returns
// what is left to ask for: one request for each run of missing samples.
func (b *batch) restore() (asks []ask, err error) {
	for i, g := range b.groups {
		if b.ledger != nil {
			known, err := b.ledger.Known(g.Row)
			if err != nil {
				return nil, err
			}
			for _, r := range known {
				if r.Sample < 0 || r.Sample >= len(g.Rollouts) || b.scored[i][r.Sample] {
					return nil, fmt.Errorf("row %d: the ledger has sample %d twice, or it is none of %d", g.Row.Ordinal, r.Sample, len(g.Rollouts))
				}
				g.Rollouts[r.Sample], b.scored[i][r.Sample] = r, true
				b.observe(g.Row, r)
				if b.OnRollout != nil {
					b.OnRollout(g.Row, r, nil)
				}
			}
		}
		asks = append(asks, missing(i, b.scored[i])...)
	}
	return asks, nil
}

// missing are the runs of samples that are not there.
func missing(row int, there []bool) (asks []ask) {
	for j, is := range there {
		switch {
		case is:
		case j > 0 && !there[j-1]:
			asks[len(asks)-1].count++
		default:
			asks = append(asks, ask{row: row, first: j, count: 1})
		}
	}
	return asks
}
