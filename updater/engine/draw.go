package engine

import (
	"math"
	"slices"

	"github.com/justrl/justrl/internal/splitmix"
)

// draw draws a token for each wanted row, or takes the scored sequence's own,
// and ends what has ended.
func (e *Engine) draw() {
	b := &e.batch
	e.draws, e.drawn = e.draws[:0], e.drawn[:0]
	for _, s := range e.planned {
		rows := 0
		if s.r.scoring {
			rows = s.planned
		} else if s.sample >= 0 && s.cached == len(s.tokens) {
			rows = 1
		}
		for i := range rows {
			d := Draw{Row: s.wanted + i, Adjusted: -1}
			if s.r.scoring {
				d.Given, d.ID = true, s.r.Prompt[s.cached-s.planned+i+1]
			} else {
				d.Temperature, d.TopP, d.TopK, d.MinP = s.r.Temperature, s.r.TopP, s.r.TopK, s.r.MinP
				d.Uniform = uniform(s.r.Seed+int64(s.sample), len(s.tokens)-len(s.r.Prompt))
				d.Adjusted = e.adjust(s, e.row(d.Row))
				d.Processed = e.o.Processed
			}
			e.draws, e.drawn = append(e.draws, d), append(e.drawn, s)
		}
	}
	e.model.Draw(b, e.draws)
	for i, d := range e.draws {
		s := e.drawn[i]
		if s.r.err != nil || s.r.left == 0 {
			continue // it failed at an earlier token of this pass
		}
		t := Token{ID: d.ID, Logprob: d.Logprob, Rank: d.Rank, Top: e.top(d, s.r.Top)}
		switch {
		case math.IsNaN(d.Logprob):
			e.end(s.r, ErrNotFinite)
		case s.r.scoring:
			if s.r.scored = append(s.r.scored, t); len(s.r.scored) == len(s.r.Prompt)-1 {
				s.r.left = 0
				e.end(s.r, nil)
			}
		default:
			e.append(s, t)
		}
	}
}

func (e *Engine) row(i int) []float32 { return e.batch.Logits[i*e.vocab : (i+1)*e.vocab] }

// append adds a drawn token to a sample and ends it where it ends.
func (e *Engine) append(s *sequence, t Token) {
	r := s.r
	e.totals.GeneratedTokens++
	out := &r.samples[s.sample]
	s.tokens, out.Tokens = append(s.tokens, t.ID), append(out.Tokens, t)
	if s.counts != nil {
		s.counts[t.ID]++
	}
	end := r.OnToken != nil && r.OnToken(s.sample, t)
	switch {
	case r.ends[t.ID] && len(out.Tokens) > r.MinTokens: // before, it could not be drawn
		out.Finish = FinishStop
		if slices.Contains(r.StopTokenIDs, t.ID) && (r.IgnoreEOS || !slices.Contains(e.o.EOS, t.ID)) {
			out.StopToken = t.ID
		}
	case end:
		out.Finish = FinishStop
	case len(out.Tokens) >= r.MaxTokens:
		out.Finish = FinishLength
	default:
		return
	}
	e.drop(s)
	r.running = slices.DeleteFunc(r.running, func(x *sequence) bool { return x == s })
	if r.left--; r.left == 0 {
		e.end(r, nil)
	}
}

// adjust returns the index of s's own row of logits where its parameters ask
// for other ones than the model's; -1 where they do not.
func (e *Engine) adjust(s *sequence, logits []float32) int {
	r, drawn := s.r, len(s.tokens)-len(s.r.Prompt)
	early := drawn < r.MinTokens && len(r.ends) > 0
	if !early && r.RepetitionPenalty == 1 && s.counts == nil && len(r.LogitBias) == 0 && r.Allowed == nil {
		return -1
	}
	b := &e.batch
	at := len(b.Adjusted) / e.vocab
	b.Adjusted = append(b.Adjusted, logits...)
	row := b.Adjusted[at*e.vocab:]
	never := float32(math.Inf(-1))
	if r.Allowed != nil {
		for i := range row {
			row[i] = never
		}
		for _, id := range r.Allowed {
			row[id] = logits[id]
		}
	}
	for id, bias := range r.LogitBias {
		if e.inVocab(id) {
			row[id] = moved(row[id], float64(bias))
		}
	}
	if early {
		for id := range r.ends {
			if e.inVocab(id) {
				row[id] = never
			}
		}
	}
	if r.RepetitionPenalty != 1 {
		seen := map[int32]bool{}
		for _, id := range s.tokens {
			if !seen[id] {
				row[id] = penalized(row[id], r.RepetitionPenalty)
			}
			seen[id] = true
		}
	}
	for id, n := range s.counts {
		row[id] = moved(row[id], -r.PresencePenalty-r.FrequencyPenalty*float64(n))
	}
	if slices.Max(row) == never { // everything was excluded: vLLM draws something all the same
		copy(row, logits)
	}
	return at
}

// moved is a logit with something added.
func moved(x float32, by float64) float32 { return bounded(x, float64(x)+by) }

// penalized is a logit of a token that is there already.
func penalized(x float32, penalty float64) float32 {
	if x > 0 {
		return bounded(x, float64(x)/penalty)
	}
	return bounded(x, float64(x)*penalty)
}

// bounded is what becomes of logit x: excluded tokens stay excluded, and no
// parameter takes a logit beyond what float32 holds.
func bounded(x float32, y float64) float32 {
	if math.IsInf(float64(x), -1) {
		return x
	}
	return float32(max(-math.MaxFloat32, min(math.MaxFloat32, y)))
}

// top is the n most likely tokens of a draw's row, at temperature 1.
func (e *Engine) top(d Draw, n int) []Candidate {
	if n <= 0 {
		return nil
	}
	row := e.row(d.Row)
	if d.Processed {
		raw := Draw{Given: true, ID: d.ID}
		raw.Decide(row, row)
		d.Logprob = raw.Logprob
	}
	norm := float64(row[d.ID]) - d.Logprob
	best := make([]Candidate, 0, n+1)
	for id, x := range row {
		lp := float64(x) - norm
		if len(best) == n && lp <= best[n-1].Logprob {
			continue
		}
		at := len(best)
		for at > 0 && best[at-1].Logprob < lp {
			at--
		}
		best = slices.Insert(best, at, Candidate{ID: int32(id), Logprob: lp})
		best = best[:min(n, len(best))]
	}
	for i := range best {
		best[i].Rank = i + 1
	}
	return best
}

// uniform is the random number, in [0, 1), of the at-th token of a stream.
func uniform(seed int64, at int) float64 {
	x := splitmix.Mix(splitmix.Mix(uint64(seed)) ^ uint64(at))
	return float64(x>>11) / (1 << 53)
}
