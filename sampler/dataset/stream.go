package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/justrl/justrl/sampler"
)

// What a [Stream] can end with.
var (
	// ErrEnd: the last of Options.Epochs is over.
	ErrEnd = errors.New("the dataset's last epoch is over")
	// ErrAllTooLong: a whole epoch had no prompt that is short enough.
	ErrAllTooLong = errors.New("every prompt of the dataset is too long")
)

// Options say how a [Stream] goes through its source.
type Options struct {
	// Seed picks the order; each epoch has its own.
	Seed int64
	// Shuffle false keeps the file's order.
	Shuffle bool
	// Epochs ends the stream with ErrEnd after so many; 0 never ends.
	Epochs int
	// MaxPromptTokens drops rows whose prompt is longer; 0 keeps all.
	MaxPromptTokens int
	// Prompt renders a problem through chat template and tokenizer. Needed.
	Prompt func(sampler.Problem) ([]int32, error)
}

// Cursor is a place in a stream: all that is needed to go on with the next
// row. Its zero value is the start.
type Cursor struct {
	Epoch    int   `json:"epoch"`
	Position int64 `json:"position"` // rows of the epoch's order that are behind, dropped ones included
	Ordinal  int64 `json:"ordinal"`  // of the next row
	Dropped  int64 `json:"dropped"`
	// Dataset is the source's fingerprint, so that another file is not taken for this one.
	Dataset string `json:"dataset,omitempty"`
}

// Stream draws rows in a seeded order, epoch after epoch. Not safe for
// concurrent use; it does not own its source.
type Stream struct {
	src    Source
	opt    Options
	cur    Cursor
	order  permutation
	wasted int64 // rows dropped since this epoch's start, if the stream has seen it
}

// NewStream starts at the cursor: the rows that follow are the same as if the
// stream that the cursor came from had gone on, given equal options.
func NewStream(src Source, opt Options, from Cursor) (*Stream, error) {
	switch {
	case opt.Prompt == nil:
		return nil, errors.New("dataset: Options.Prompt is needed")
	case opt.MaxPromptTokens < 0 || opt.Epochs < 0:
		return nil, fmt.Errorf("dataset: MaxPromptTokens %d and Epochs %d must not be negative", opt.MaxPromptTokens, opt.Epochs)
	case from.Dataset != "" && from.Dataset != src.Fingerprint():
		return nil, fmt.Errorf("dataset: the cursor is of a dataset with fingerprint %.12s, this one has %.12s: resume with the file that the run began with",
			from.Dataset, src.Fingerprint())
	case from.Epoch < 0 || from.Ordinal < 0 || from.Dropped < 0 || from.Position < 0 || from.Position > src.Len():
		return nil, fmt.Errorf("dataset: no such place in %d rows: %+v", src.Len(), from)
	}
	from.Dataset = src.Fingerprint()
	s := &Stream{src: src, opt: opt, cur: from}
	s.order = newPermutation(src.Len(), opt.Seed, from.Epoch)
	return s, nil
}

// Next draws one row. It fails with ErrEnd, ErrAllTooLong, ctx's cause, or
// what the source or Prompt gave, and then stays where it was.
func (s *Stream) Next(ctx context.Context) (sampler.Row, error) {
	for {
		if ctx.Err() != nil {
			return sampler.Row{}, context.Cause(ctx)
		}
		if s.wasted == s.src.Len() {
			return sampler.Row{}, fmt.Errorf("%w: none of the %d has at most %d tokens", ErrAllTooLong, s.src.Len(), s.opt.MaxPromptTokens)
		}
		if s.cur.Position == s.src.Len() {
			s.cur.Epoch, s.cur.Position, s.wasted = s.cur.Epoch+1, 0, 0
			s.order = newPermutation(s.src.Len(), s.opt.Seed, s.cur.Epoch)
		}
		if s.opt.Epochs > 0 && s.cur.Epoch >= s.opt.Epochs {
			return sampler.Row{}, ErrEnd
		}
		row, keep, err := s.read(ctx)
		if err != nil {
			return sampler.Row{}, err
		}
		s.cur.Position++
		if keep {
			s.cur.Ordinal++
			return row, nil
		}
		s.cur.Dropped++
		s.wasted++
	}
}

// read renders the row at the cursor; keep tells whether it is short enough.
func (s *Stream) read(ctx context.Context) (row sampler.Row, keep bool, err error) {
	i := s.cur.Position
	if s.opt.Shuffle {
		i = s.order.at(i)
	}
	p, err := s.src.Problem(ctx, i)
	if err != nil {
		return row, false, err
	}
	ids, err := s.opt.Prompt(p)
	if err != nil {
		return row, false, fmt.Errorf("render problem %s (row %d): %w", p.ID, i, err)
	}
	if len(ids) == 0 {
		return row, false, fmt.Errorf("render problem %s (row %d): the prompt has no tokens", p.ID, i)
	}
	keep = s.opt.MaxPromptTokens == 0 || len(ids) <= s.opt.MaxPromptTokens
	return sampler.Row{Ordinal: s.cur.Ordinal, Problem: p, PromptTokenIDs: ids}, keep, nil
}

// Cursor is the place after the last row that Next gave.
func (s *Stream) Cursor() Cursor { return s.cur }

// MarshalCursor is [Stream.Cursor] in JSON.
func (s *Stream) MarshalCursor() ([]byte, error) { return json.Marshal(s.cur) }

// Epoch is the epoch of the last row that Next gave, from 0.
func (s *Stream) Epoch() int { return s.cur.Epoch }

// Dropped counts the draws that the length filter left out since the start of
// the run: a row that is too long counts once an epoch.
func (s *Stream) Dropped() int64 { return s.cur.Dropped }
