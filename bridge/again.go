package bridge

// returned is what was seen of a server that comes back after it was fenced.
type returned struct {
	goal
	server        [2]logprobs // two scorings after the load
	before, after *sums       // around the load; nil if it offers none, or could not be asked
	cache         *float64
}

// again judges a load into a server of which nobody knows what it served
// before. Only when it returns nil have the baselines moved on.
func (c *canary) again(s Snapshot, e returned) (ServerReport, error) {
	now := e.server[1]
	d := now.minus(e.trainer)
	r := ServerReport{
		Tokens: len(now), EqualTokens: now.equalTokens(e.server[0]), DiffMedian: d.median(), DiffMax: d.max(),
		Checksums: compare(e.before, e.after), CacheDiffMax: e.cache,
	}
	next := *c
	known := c.last != nil // proved at least once: its noise is known
	if !known {
		if _, err := next.begin(s, e.server, [2]logprobs{e.trainer, e.trainer}); err != nil {
			return r, err
		}
		// Where it would be if it had stayed at the start of the run.
		next.firstServer, next.firstTrainer = e.first, e.first
	} else if err := c.agreement(s, evidence{}, &r, nil); err != nil {
		return r, err
	}
	if err := c.ownAgain(s, e, &r); err != nil {
		return r, err
	}
	// A small part of what changes is no more than its noise: the baselines begin
	// anew, but for the direction, which the sum since the start of the run tells.
	next.live, next.last = s, now
	next.ownServer, next.ownTrainer = now, e.trainer
	next.bitServer, next.bitTrainer = now, e.trainer
	next.dirServer, next.dirTrainer = next.firstServer, next.firstTrainer
	floor := next.floor()
	if !known { // of one that stayed where it was, the noise would hold the trainer's whole movement
		floor = max(min(next.noise.RMS, now.minus(e.first).rms()), next.noise.RepeatRMS, resolution)
	}
	if err := next.directionAgain(s, e, floor, &r); err != nil {
		return r, err
	}
	if e.cache != nil {
		var err error
		if known {
			err = c.cache(s, evidence{cache: e.cache}, &r, nil)
		} else {
			err = next.beginCache(s, *e.cache)
		}
		if err != nil {
			return r, err
		}
	}
	*c = next
	return r, nil
}

// ownAgain: its checksums are those of the version, where anybody knows them.
func (c *canary) ownAgain(s Snapshot, e returned, r *ServerReport) error {
	switch was := compare(e.sums, e.after); {
	case was != nil && was.Changed > 0:
		return c.fails(s, PartOwn, "it acknowledged the reload, yet %d of the checksums of its %d tensors that have one are not those that the same version had before or has on a server like it", was.Changed, was.Changed+was.Equal)
	case was != nil && was.Equal > 0:
	case r.Checksums != nil && r.Checksums.Changed > 0:
	default:
		r.Inconclusive = append(r.Inconclusive, PartOwn)
	}
	return nil
}

// directionAgain: the server is where the trainer is, seen from the start of
// the run, not where it was then. The caller has put the start's baselines in.
func (c *canary) directionAgain(s Snapshot, e returned, floor float64, r *ServerReport) error {
	moved := e.trainer.minus(c.dirTrainer)
	if r.TrainerMoved = moved.rms(); r.TrainerMoved <= 4*floor {
		r.Inconclusive = append(r.Inconclusive, PartDirection)
		return nil
	}
	slope := e.server[1].minus(c.dirServer).along(moved)
	r.Direction = &slope
	if slope < c.limits.MinDirection {
		return c.fails(s, PartDirection, "it came back and acknowledged the reload, but its log-probs are not where the trainer's are: of the trainer's movement since the start of the run (%.3g nats rms over %d tokens) it shows %.2f, want about 1 and at least %g",
			moved.rms(), r.Tokens, slope, c.limits.MinDirection)
	}
	c.dirServer, c.dirTrainer = e.server[1], e.trainer
	return nil
}
