package engine

import "slices"

// scoreRows is how many rows of one pass may be scored: each has a row of logits.
const scoreRows = 64

// pass lets requests in, runs one token of every sequence that has room for
// it, as much of longer ones as fits, and draws.
func (e *Engine) pass() {
	e.admit()
	e.start()
	e.allocate()
	e.plan()
	if len(e.batch.IDs) == 0 {
		return // all that was there has just been let in
	}
	if err := e.model.Forward(&e.batch); err != nil {
		e.endAll(err)
		return
	}
	for _, s := range e.planned {
		s.cached += s.planned
	}
	e.draw()
	e.admitted = slices.DeleteFunc(e.admitted, func(r *request) bool { return r.left == 0 || r.err != nil })
}

// admit takes waiting requests in, in the order of their arrival, as long as
// there are free places and free blocks.
func (e *Engine) admit() {
	for len(e.waiting) > 0 {
		places := e.o.MaxSequences
		for _, r := range e.admitted {
			places -= len(r.running) + len(r.samples) - r.next
			if r.scoring {
				places--
			}
		}
		r := e.waiting[0]
		if places <= 0 || len(e.admitted) > 0 && (e.starved || len(e.pool.free) < blocksFor(len(r.Prompt))+e.o.MaxSequences-places) {
			return
		}
		e.waiting = e.waiting[1:]
		e.admitted = append(e.admitted, r)
		e.totals.PromptTokens += int64(len(r.Prompt))
	}
}

// start begins samples whose prompt is in the cache, sharing its blocks.
func (e *Engine) start() {
	running := 0
	for _, r := range e.admitted {
		running += len(r.running)
	}
	for _, r := range e.admitted {
		for r.next < len(r.samples) && running < e.o.MaxSequences && (r.prompt == nil || r.prompt.need() == 0) {
			s := &sequence{r: r, sample: r.next, tokens: append(make([]int32, 0, len(r.Prompt)+min(r.MaxTokens, 256)), r.Prompt...)}
			if p := r.prompt; p != nil && !e.fork(p, s) {
				break
			}
			if r.FrequencyPenalty != 0 || r.PresencePenalty != 0 {
				s.counts = map[int32]int{}
			}
			r.running = append(r.running, s)
			r.next++
			running++
		}
		if r.prompt != nil && !r.scoring && r.next == len(r.samples) {
			e.drop(r.prompt)
			r.prompt = nil
		}
		running += len(r.samples) - r.next // places that younger requests must not take: they would wait for this one's
	}
}

// fork gives s what p has in the cache: full blocks are shared, the rest of
// the last one is copied. It fails where there is no block for that.
func (e *Engine) fork(p, s *sequence) bool {
	full := p.cached / BlockTokens
	if p.cached%BlockTokens != 0 {
		if len(e.pool.free) == 0 && !e.reclaim(1, s) {
			return false
		}
		if p.need() > 0 { // reclaiming took the prompt itself
			return false
		}
		last := e.pool.take()
		e.model.Copy(p.blocks[full], last)
		s.blocks = append(slices.Clone(p.blocks[:full]), last)
	} else {
		s.blocks = slices.Clone(p.blocks[:full])
	}
	e.pool.share(p.blocks[:full])
	s.cached = p.cached
	return true
}

// sequences calls f for every sequence that is let in and has something to
// run, oldest first. A request's prompt comes after its samples: they can go
// on without it.
func (e *Engine) sequences(f func(s *sequence)) {
	for _, r := range e.admitted {
		for _, s := range r.running {
			f(s)
		}
		if r.prompt != nil && r.prompt.need() > 0 {
			f(r.prompt)
		}
	}
}

// allocate gives each sequence the blocks that it needs to run, oldest first.
// One that runs already takes them from younger ones if it must; one that is
// yet to begin waits until there are some to spare, except for the oldest,
// which always goes on.
func (e *Engine) allocate() {
	e.starved = false
	oldest, all := true, 0
	e.sequences(func(*sequence) { all++ })
	e.sequences(func(s *sequence) {
		need := blocksFor(len(s.tokens)) - len(s.blocks)
		spare := 0
		if len(s.blocks) == 0 && !oldest {
			spare = all
		}
		switch {
		case need <= 0:
		case len(e.pool.free) >= need+spare, spare == 0 && e.reclaim(need, s):
			for range need {
				s.blocks = append(s.blocks, e.pool.take())
			}
		default:
			e.starved = true
		}
		oldest = false
	})
}

// reclaim frees blocks until there are n, by taking those of sequences that
// are younger than s, the youngest first.
func (e *Engine) reclaim(n int, s *sequence) bool {
	for i := len(e.admitted) - 1; i >= 0; i-- {
		r := e.admitted[i]
		if r.number < s.r.number {
			break
		}
		victims := slices.Clone(r.running)
		if r.prompt != nil {
			victims = append(victims, r.prompt)
		}
		for j := len(victims) - 1; j >= 0; j-- {
			v := victims[j]
			if r == s.r && v.age() <= s.age() || len(v.blocks) == 0 {
				continue
			}
			e.drop(v)
			if r.scoring {
				r.scored = nil
			}
			e.totals.Preemptions++
			if len(e.pool.free) >= n {
				return true
			}
		}
	}
	return len(e.pool.free) >= n
}

// plan makes the batch: first those that run a single token, for whom others
// wait the longest, then as much of the longer ones as fits.
func (e *Engine) plan() {
	e.batch.reset()
	e.planned = e.planned[:0]
	left, scores := e.o.MaxRows, scoreRows
	e.sequences(func(s *sequence) {
		s.planned = 0
		if s.need() == 1 && left > 0 && e.ready(s) {
			e.add(s, 1)
			left--
			if s.r.scoring {
				scores--
			}
		}
	})
	e.sequences(func(s *sequence) {
		n := min(s.need(), left)
		if s.r.scoring {
			n = min(n, scores)
		}
		if s.planned > 0 || n <= 0 || !e.ready(s) {
			return
		}
		if s.r.scoring {
			scores -= n
		}
		e.add(s, n)
		left -= n
	})
}

// ready tells whether s has the blocks for all of its tokens.
func (e *Engine) ready(s *sequence) bool { return len(s.blocks) >= blocksFor(len(s.tokens)) }

// add puts the next n tokens of s into the batch.
func (e *Engine) add(s *sequence, n int) {
	b := &e.batch
	s.planned, s.first, s.wanted = n, len(b.IDs), len(b.Want)
	start := int32(len(b.Tables))
	b.Tables = append(b.Tables, s.blocks[:blocksFor(s.cached+n)]...)
	for p := s.cached; p < s.cached+n; p++ {
		if s.r.scoring || s.sample >= 0 && p == len(s.tokens)-1 {
			b.Want = append(b.Want, int32(len(b.IDs)))
		}
		b.IDs = append(b.IDs, s.tokens[p])
		b.Positions = append(b.Positions, int32(p))
		b.Slots = append(b.Slots, s.blocks[p/BlockTokens]*BlockTokens+int32(p%BlockTokens))
		b.Starts = append(b.Starts, start)
	}
	e.planned = append(e.planned, s)
}
