package monitor

import (
	"fmt"
	"math"
)

// sure is how many standard deviations of chance come on top of a threshold.
const sure = 4

// away is the share of a threshold below which what was told is gone again: what
// lies about the threshold would come and go.
const away = 0.5

// rise: a figure's mean is above its lowest by more than the threshold.
func rise(pick func(*history) *column, what string) judge {
	return func(h *history, step int, threshold float64, told bool) (finding, bool) {
		c := pick(h)
		mean, ok := c.last(step)
		if !ok {
			return finding{}, false
		}
		rose := mean - c.low.mean
		if rose < threshold || told { // whatever the noise
			return finding{ill: told && rose >= away*threshold}, true
		}
		noise := c.noise()
		return finding{
			ill: rose >= threshold+sure*noise,
			message: fmt.Sprintf("the %s is %.3g in the mean of the last %s, %.3g above its lowest (%.3g at step %d)",
				what, mean, times(c), rose, c.low.mean, c.low.step+1),
			evidence: map[string]float64{"mean": mean, "lowest": c.low.mean, "lowest_step": float64(c.low.step), "rise": rose, "threshold": threshold, "noise": noise},
		}, true
	}
}

func times(c *column) string {
	if c.window == comparedWindow {
		return fmt.Sprintf("%d comparisons", c.window)
	}
	return fmt.Sprintf("%d steps", c.window)
}

// rewardDrop: the reward's mean is below its best by more than the threshold.
func rewardDrop(h *history, step int, threshold float64, told bool) (finding, bool) {
	c := h.reward
	mean, ok := c.last(step)
	if !ok {
		return finding{}, false
	}
	fell := c.high.mean - mean
	if fell < threshold || told {
		return finding{ill: told && fell >= away*threshold}, true
	}
	noise := c.noise()
	return finding{
		ill: fell >= threshold+sure*noise,
		message: fmt.Sprintf("the reward is %+.3f in the mean of the last %d steps, %.3f under its best (%+.3f at step %d)",
			mean, c.window, fell, c.high.mean, c.high.step+1),
		evidence: map[string]float64{"mean": mean, "best": c.high.mean, "best_step": float64(c.high.step), "drop": fell, "threshold": threshold, "noise": noise},
	}, true
}

const (
	// fifth of what was wrong must have become right for a change to be paid for.
	fifth = 0.2
	// returned is how far beyond everything before a figure must be, so that one
	// that comes back from an excursion has not collapsed.
	returned = 0.75
)

// unpaid: a figure's mean has changed by a factor, beyond all that it had been
// before, and since it began to no more answers have become right. What was told
// is gone only when the figure has come back.
func unpaid(h *history, c *column, step int, factor float64, told, falling bool, what string) (finding, bool) {
	now, ok := c.last(step)
	if !ok {
		return finding{}, false
	}
	var f finding
	past := c.means[:len(c.means)-1]
	from := -1
	for i := len(past) - 1; i >= 0 && !math.IsNaN(past[i]); i-- {
		if falling && past[i] > now && past[i] >= factor*now || !falling && past[i] < now && past[i]*factor <= now {
			from = i
			break
		}
	}
	if from < 0 {
		return f, true
	}
	for i := from; i >= 0 && !math.IsNaN(past[i]); i-- {
		if falling && now > returned*past[i] || !falling && past[i] > returned*now {
			return f, true
		}
	}
	if told {
		f.ill = true
		return f, true
	}
	correct, reward := h.correct, h.reward // of the same steps as c
	before := correct.means[from]
	gain := correct.means[len(correct.means)-1] - before
	gainNoise := math.Sqrt2 * correct.noise()
	rose := reward.means[len(reward.means)-1] - reward.means[from]
	if paid := gain+2*gainNoise >= fifth*(1-before) || rose >= 3*math.Sqrt2*reward.noise() && rose > 0; paid {
		return f, true
	}
	f.ill = true
	f.message = fmt.Sprintf("%s %s in the mean of the last %d steps, and %s at step %d; the share of right answers went from %.1f %% to %.1f %% meanwhile",
		what, brief(now), c.window, brief(past[from]), c.steps[from]+1, 100*before, 100*(before+gain))
	f.evidence = map[string]float64{
		"mean": now, "before": past[from], "before_step": float64(c.steps[from]), "correct_before": before, "correct": before + gain,
		"threshold": factor, "noise": gainNoise,
	}
	return f, true
}

func brief(x float64) string { return fmt.Sprintf("%.4g", x) }

func entropyCollapse(h *history, step int, threshold float64, told bool) (finding, bool) {
	return unpaid(h, h.entropy, step, threshold, told, true, "the entropy is")
}

func lengthExplosion(h *history, step int, threshold float64, told bool) (finding, bool) {
	return unpaid(h, h.length, step, threshold, told, false, "the tokens of an answer are")
}

func lengthCollapse(h *history, step int, threshold float64, told bool) (finding, bool) {
	return unpaid(h, h.length, step, threshold, told, true, "the tokens of an answer are")
}

// learnt is the share of right answers from which equal groups are what a
// trained policy has.
const learnt = 0.9

func equalGroups(h *history, step int, threshold float64, told bool) (finding, bool) {
	equal, ok := h.equal.last(step)
	if !ok {
		return finding{}, false
	}
	correct := h.correct.means[len(h.correct.means)-1]
	if told {
		return finding{ill: equal >= threshold-away*(1-threshold) && correct < learnt}, true
	}
	if equal < threshold || correct >= learnt {
		return finding{}, true
	}
	return finding{
		ill: true,
		message: fmt.Sprintf("%.1f %% of the groups of the last %d steps have one verdict, and %.1f %% of the answers are right",
			100*equal, h.equal.window, 100*correct),
		evidence: map[string]float64{"equal": equal, "correct": correct, "threshold": threshold},
	}, true
}

// mismatchDrift: the geometric mean of k3 is above its lowest by more than the factor.
func mismatchDrift(h *history, step int, threshold float64, told bool) (finding, bool) {
	c := h.mismatch
	f, ok := rise(func(h *history) *column { return c }, "")(h, step, math.Log(threshold), told)
	if !ok || !f.ill || told {
		return f, ok
	}
	mean, lowest := math.Exp(f.evidence["mean"]), math.Exp(c.low.mean)
	f.message = fmt.Sprintf("server and trainer differ by k3 = %.2g nats in the mean of the last %d steps, %.3g times the least (%.2g at step %d)",
		mean, c.window, mean/lowest, lowest, c.low.step+1)
	f.evidence = map[string]float64{"mean": mean, "lowest": lowest, "lowest_step": float64(c.low.step), "factor": mean / lowest, "threshold": threshold, "noise": f.evidence["noise"]}
	return f, true
}

// gradientSpike: an update's norm is a multiple of the largest that there was.
func gradientSpike(h *history, _ int, threshold float64, _ bool) (finding, bool) {
	norm, largest := h.gradient, h.largest
	ill := h.steps > h.reward.window && largest > 0 && norm >= threshold*largest
	if !ill { // a spike is no measure for the next
		h.largest = max(largest, norm)
	}
	if !ill {
		return finding{}, h.steps > h.reward.window
	}
	return finding{
		ill:      true,
		message:  fmt.Sprintf("an update's gradient norm is %.3g, %.3g times the largest before (%.3g)", norm, norm/largest, largest),
		evidence: map[string]float64{"norm": norm, "largest": largest, "threshold": threshold},
	}, true
}

// heldoutFall: accuracy is under its best, by twice the threshold at once or by
// the threshold in the mean of two measurements, and the training reward is higher
// than it was then.
func heldoutFall(h *history, _ int, threshold float64, told bool) (finding, bool) {
	all := h.measured
	now := len(all) - 1
	best := -1
	for i, m := range all[:max(now, 0)] {
		if best < 0 || m.accuracy > all[best].accuracy {
			best = i
		}
	}
	if best < 0 || len(h.reward.values) == 0 {
		return finding{}, false
	}
	m, top := all[now], all[best]
	if math.IsNaN(top.reward) { // before training: that of the first steps is near enough
		top.reward = mean(h.reward.values[:min(len(h.reward.values), h.reward.window)])
	}
	if told {
		return finding{ill: top.accuracy-m.accuracy >= away*threshold}, true
	}
	fell, noise := top.accuracy-m.accuracy, math.Sqrt(top.variance+m.variance)
	ill := fell >= 2*threshold+sure*noise
	if before := all[now-1]; now-1 > best {
		two := top.accuracy - (m.accuracy+before.accuracy)/2
		twoNoise := math.Sqrt(top.variance + (m.variance+before.variance)/4)
		ill = ill || two >= threshold+sure*twoNoise
	}
	return finding{
		ill: ill && m.reward > top.reward,
		message: fmt.Sprintf("held-out accuracy is %.1f %%, %.1f points under its best (%.1f %% after %d steps), while the reward went from %+.3f to %+.3f",
			100*m.accuracy, 100*fell, 100*top.accuracy, top.done, top.reward, m.reward),
		evidence: map[string]float64{
			"accuracy": m.accuracy, "best": top.accuracy, "best_steps": float64(top.done), "fall": fell,
			"reward_then": top.reward, "reward": m.reward, "threshold": threshold, "noise": noise,
		},
	}, true
}

func verifierDrift(h *history, _ int, threshold float64, _ bool) (finding, bool) {
	r := h.rescored
	if r == nil || r.Rescored == 0 {
		return finding{}, false
	}
	return finding{
		ill:      float64(r.Changed) >= threshold,
		message:  fmt.Sprintf("%d of %d kept answers score otherwise than at first: the reward has become another one", r.Changed, r.Rescored),
		evidence: map[string]float64{"changed": float64(r.Changed), "rescored": float64(r.Rescored), "errors": float64(r.RescoreErrors), "threshold": threshold},
	}, true
}
