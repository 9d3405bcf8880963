package bridge

import "fmt"

// resolution is what float32 log-probs can tell apart, in nats: a few units in
// the last place of a log-prob near -10.
const resolution = 2e-6

// canary judges, from log-probs alone, whether a server serves the weights of
// a snapshot. It holds what was seen of one deployment so far.
//
// A server can acknowledge a reload and keep the old weights, or answer from a
// prefix cache of old ones; and one step at a learning rate of 1e-6 moves
// log-probs less than a bf16 server differs from the trainer anyway. So the
// proof has parts, and the trainer's own movement says what each can tell:
//
//  1. own: the weights changed where the server's checksums say so or, without
//     checksums, where its log-probs moved by more than the noise. Where the
//     checksums are all equal, or the log-probs are bit for bit, although the
//     trainer's moved by more than rounding, the server is lying. A movement
//     within the noise proves nothing: other people's requests, batched with
//     the probes, move last bits too.
//  2. direction: the server's movement projected on the trainer's,
//     Σ Δs·Δt / Σ Δt², is 1 for a right server and 0 for a lying one, with a
//     standard deviation below noise·√2 / (‖Δt‖): judged once ‖Δt‖ is 4 times the noise.
//  3. agreement: median and maximum of |server - trainer| stay within a
//     multiple of what they were at the start.
//
// What cannot be told yet keeps its old baseline, so that small changes add up
// until they can.
type canary struct {
	server string
	limits Limits
	noise  Noise

	live Snapshot
	last logprobs // the server's, after the last load

	// Baselines: the last time that the server's weights were seen to change,
	// that any bit of its log-probs did, and that the direction could be told.
	ownServer, ownTrainer logprobs
	bitServer, bitTrainer logprobs
	dirServer, dirTrainer logprobs
	// Those of begin.
	firstServer, firstTrainer logprobs
}

// begin measures the noise. server and trainer were each scored twice.
func (c *canary) begin(s Snapshot, server, trainer [2]logprobs) (ServerReport, error) {
	d := server[1].minus(trainer[1])
	servers, trainers := server[1].minus(server[0]), trainer[1].minus(trainer[0])
	c.noise = Noise{
		Median: d.median(), RMS: d.rms(), Max: d.max(),
		Repeat: servers.max(), RepeatRMS: servers.rms(), TrainerRepeat: trainers.max(), TrainerRepeatRMS: trainers.rms(),
	}
	r := ServerReport{
		Tokens: server[1].known(), EqualTokens: server[1].equalTokens(server[0]),
		DiffMedian: c.noise.Median, DiffMax: c.noise.Max,
	}
	if c.noise.Median > c.limits.StartMedian || c.noise.Max > c.limits.StartMax {
		return r, c.fails(s, PartAgreement, "after the first load its log-probs differ from the trainer's by %.3g nats in the median (limit %g) and %.3g at most (limit %g) over %d tokens: it serves other weights or another model, or computes too coarsely",
			c.noise.Median, c.limits.StartMedian, c.noise.Max, c.limits.StartMax, r.Tokens)
	}
	c.live, c.last = s, server[1]
	c.ownServer, c.ownTrainer = server[1], trainer[1]
	c.bitServer, c.bitTrainer = server[1], trainer[1]
	c.dirServer, c.dirTrainer = server[1], trainer[1]
	c.firstServer, c.firstTrainer = server[1], trainer[1]
	return r, nil
}

// evidence is what was seen around one load.
type evidence struct {
	before, after logprobs // the server's
	trainer       logprobs // of the new snapshot
	checksums     *Checksums
	cache         *float64 // through the prefix cache against afresh; nil if the server cannot be asked
}

// judge decides about the load of s. Only when it returns nil have the
// baselines moved on.
func (c *canary) judge(s Snapshot, e evidence) (ServerReport, error) {
	r := ServerReport{
		Tokens: e.after.known(), EqualTokens: e.after.equalTokens(e.before), ServerMoved: e.after.minus(e.before).rms(),
		IdleShift: e.before.minus(c.last).max(), TrainerMoved: e.trainer.minus(c.dirTrainer).rms(),
		Checksums: e.checksums, CacheDiffMax: e.cache,
	}
	d := e.after.minus(e.trainer)
	r.DiffMedian, r.DiffMax = d.median(), d.max()
	next := *c
	next.live, next.last = s, e.after
	for _, part := range []func(Snapshot, evidence, *ServerReport, *canary) error{c.idle, c.own, c.direction, c.agreement, c.cache} {
		if err := part(s, e, &r, &next); err != nil {
			return r, err
		}
	}
	*c = next
	return r, nil
}

// idle: nobody else may have changed the server's weights since the last load.
// Less than the noise is left to the parts that follow.
func (c *canary) idle(s Snapshot, e evidence, _ *ServerReport, _ *canary) error {
	return c.stillLive(s, e.before)
}

func (c *canary) stillLive(s Snapshot, now logprobs) error {
	moved := now.minus(c.last)
	if moved.rms() <= 4*c.floor() {
		return nil
	}
	return c.fails(s, PartIdle, "between the load of version %d and now its log-probs moved by %.3g nats (rms over %d tokens) without a load: it was restarted, or somebody else loads weights into it; what was sampled since then is not version %d's",
		c.live.Version, moved.rms(), len(moved.known()), c.live.Version)
}

// sameSums: nor have the checksums changed, which tell what is less than the noise.
func (c *canary) sameSums(was, now *sums) error {
	d := compare(was, now)
	if d == nil || d.Changed == 0 {
		return nil
	}
	return c.fails(c.live, PartIdle, "%d of the checksums of its %d tensors that have one are not what they were when version %d was loaded: it was restarted, or somebody else loads weights into it; what was sampled since then is not version %d's",
		d.Changed, d.Changed+d.Equal, c.live.Version, c.live.Version)
}

func (c *canary) own(s Snapshot, e evidence, r *ServerReport, next *canary) error {
	if s.SHA256 == c.live.SHA256 {
		return c.ownSame(s, e, r)
	}
	// Against the last time that it was seen to change: a server that cannot
	// show a small change must show the sum of several.
	moved := e.after.minus(c.ownServer)
	summed := e.checksums != nil && e.checksums.Equal+e.checksums.Changed > 0
	if summed && e.checksums.Changed > 0 || !summed && c.changed(moved) && moved.rms() > c.floor() {
		next.ownServer, next.ownTrainer = e.after, e.trainer
		next.bitServer, next.bitTrainer = e.after, e.trainer
		return nil
	}
	// Not seen to change: how far may the trainer have moved all the same?
	since, trainer := c.bitServer, e.trainer.minus(c.bitTrainer).rms()
	limit := max(c.noise.Median, 4*c.noise.TrainerRepeat, 4*c.noise.Repeat, resolution)
	switch {
	case summed: // whatever bits moved: training changes all tensors, so that those with a checksum speak for the hidden ones
		since, trainer = c.ownServer, e.trainer.minus(c.ownTrainer).rms()
	case c.changed(e.after.minus(c.bitServer)): // by a change within the noise, or by the noise
		next.bitServer, next.bitTrainer = e.after, e.trainer
		since, trainer = c.ownServer, e.trainer.minus(c.ownTrainer).rms()
		limit = max(limit, 4*c.floor()) // a server that follows so far leaves the noise
	}
	if trainer <= limit {
		r.Inconclusive = append(r.Inconclusive, PartOwn)
		return nil
	}
	return c.fails(s, PartOwn, "it acknowledged the reload but still answers with version %d's weights: %d of its %d probe log-probs are bit-equal%s although the snapshot differs and the trainer's moved by %.3g nats (rms)%s",
		c.live.Version, e.after.equalTokens(since), r.Tokens, othersSay(e.after.minus(since)), trainer, checksumsSay(e.checksums))
}

// ownSame: a load of the same bytes must change nothing but what other
// people's requests, batched with the probes, change anyway.
func (c *canary) ownSame(s Snapshot, e evidence, r *ServerReport) error {
	moved := e.after.minus(e.before)
	switch {
	case e.checksums != nil && e.checksums.Changed > 0:
		return c.fails(s, PartOwn, "the snapshot is the one that was live, yet %d of its tensors changed their checksum", e.checksums.Changed)
	case !c.changed(moved):
		return nil
	case moved.rms() <= 4*c.floor():
		r.Inconclusive = append(r.Inconclusive, PartOwn)
		return nil
	}
	return c.fails(s, PartOwn, "the snapshot is the one that was live, yet its probe log-probs moved by %.3g nats (rms) and up to %.3g (%d of %d are bit-equal): it loaded something else",
		moved.rms(), moved.max(), r.EqualTokens, r.Tokens)
}

func (c *canary) direction(s Snapshot, e evidence, r *ServerReport, next *canary) error {
	trainer := e.trainer.minus(c.dirTrainer)
	if trainer.rms() <= 4*c.floor() {
		if s.SHA256 != c.live.SHA256 {
			r.Inconclusive = append(r.Inconclusive, PartDirection)
		}
		return nil
	}
	slope := e.after.minus(c.dirServer).along(trainer)
	r.Direction = &slope
	if slope < c.limits.MinDirection {
		return c.fails(s, PartDirection, "its log-probs did not move as the trainer's did: the projection on the trainer's movement (%.3g nats rms over %d tokens) is %.2f, want about 1 and at least %g",
			trainer.rms(), r.Tokens, slope, c.limits.MinDirection)
	}
	next.dirServer, next.dirTrainer = e.after, e.trainer
	return nil
}

func (c *canary) agreement(s Snapshot, _ evidence, r *ServerReport, _ *canary) error {
	median := c.limits.MedianFactor*c.noise.Median + 1e-5
	most := c.limits.MaxFactor*c.noise.Max + 1e-3
	if r.DiffMedian <= median && r.DiffMax <= most {
		return nil
	}
	return c.fails(s, PartAgreement, "its log-probs differ from the trainer's by %.3g nats in the median (limit %.3g) and %.3g at most (limit %.3g) over %d tokens; at the start it was %.3g and %.3g",
		r.DiffMedian, median, r.DiffMax, most, r.Tokens, c.noise.Median, c.noise.Max)
}

// beginCache measures the noise of the prefix cache: both sides are the
// server's own, so that it should be below the trainer's.
func (c *canary) beginCache(s Snapshot, diff float64) error {
	c.noise.Cache = diff
	return c.within(s, diff, c.startCache())
}

// startCache is the limit at the start, where there is nothing to compare with.
func (c *canary) startCache() float64 { return 3*c.noise.Max + 1e-3 }

// cache judges answers that may have come from the prefix cache. What begin
// would have refused is never let pass, however close to that the start was.
func (c *canary) cache(s Snapshot, e evidence, _ *ServerReport, _ *canary) error {
	if e.cache == nil {
		return nil
	}
	return c.within(s, *e.cache, min(max(10*c.noise.Cache, 2*c.noise.Max)+1e-4, c.startCache()))
}

func (c *canary) within(s Snapshot, diff, limit float64) error {
	if diff <= limit {
		return nil
	}
	return c.fails(s, PartCache, "it answers from a prefix cache of older weights: through the cache its log-probs differ from those computed afresh by up to %.3g nats, limit %.3g", diff, limit)
}

// changed tells whether any token moved by more than two scorings of the same weights differ by.
func (c *canary) changed(d diffs) bool { return d.max() > 4*c.noise.Repeat }

// floor is the noise of one log-prob, rms: what an rms is held against.
func (c *canary) floor() float64 {
	return max(c.noise.RMS, c.noise.RepeatRMS, c.noise.TrainerRepeatRMS, resolution)
}

func (c *canary) fails(s Snapshot, p Part, format string, args ...any) error {
	return &CanaryError{Server: c.server, Version: s.Version, Part: p, Seen: fmt.Sprintf(format, args...)}
}

func othersSay(d diffs) string {
	if d.max() == 0 {
		return ""
	}
	return fmt.Sprintf(" (the others moved by %.3g nats at most)", d.max())
}

func checksumsSay(c *Checksums) string {
	if c == nil || c.Equal == 0 {
		return ""
	}
	return fmt.Sprintf("; the checksums of its %d tensors that have one are unchanged too", c.Equal)
}
