package report

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/justrl/justrl/orchestrator/config"
)

// figures are the diagrams of a run, in the order of the page, which leaves out
// those without data.
func (r *run) figures() []figure {
	x := make([]float64, len(r.steps))
	for i, s := range r.steps {
		x[i] = s.done()
	}
	line := func(name, key string, i int) curve {
		return curve{name: name, x: x, y: r.column(key), ink: series(i)}
	}
	share := func(name, key string, i int) curve {
		c := line(name, key, i)
		c.y = times(c.y, 100)
		return c
	}
	length := line("mean", "response_length/mean", 0)
	length.lower, length.upper, length.spread = r.column("response_length/min"), r.column("response_length/max"), "shortest to longest"
	length.bounds = true
	kl := line("estimate", "mismatch/kl", 0)
	errs := r.column("mismatch/kl_std_err")
	kl.lower, kl.upper, kl.spread = add(kl.y, times(errs, -1)), add(kl.y, errs), "± one standard error"
	leftOut := curve{name: "problems left out", x: x, y: times(over(r.column("sampling/groups_equal"), r.column("sampling/groups_drawn")), 100), ink: series(0)}
	parts := []curve{line("sampling", "timing_s/gen", 0), line("updating", "timing_s/update_actor", 1), line("publishing", "timing_s/publish", 2)}
	rest := r.column("timing_s/step")
	for _, p := range parts {
		rest = add(rest, times(p.y, -1))
	}
	for i := range rest {
		rest[i] = max(0, rest[i])
	}
	parts = append(parts, curve{name: "rest", x: x, y: rest, ink: series(3)})

	one := func(c ...curve) []curve { return c }
	return []figure{
		{id: "reward", title: "Reward", unit: "mean of all answers of a step", format: reward, fixed: r.strictReward(), low: -1, high: 1,
			about:  r.rewardedFor() + " This is what training raises.",
			curves: one(line("mean", "critic/score/mean", 0))},
		{id: "heldout", title: "Held-out accuracy", unit: "% right", format: percent, fixed: true, low: 0, high: 100,
			about:  "Problems that are held out from training, answered before it and every so many steps.",
			curves: r.accuracyCurves()},
		{id: "correct", title: "Right answers in training", unit: "% of a step", format: percent, fixed: true, low: 0, high: 100,
			about:  "Right answers among those sampled, and problems whose answers were all equally good: those teach nothing.",
			curves: one(share("right answers", "reward/correct", 0), share("problems that teach nothing", "reward/equal_groups", 1))},
		{id: "drawn", title: "Dynamic sampling", unit: "% of what a step drew", format: percent, fixed: true, low: 0, high: 100,
			about:  "A step draws problems until enough of them have both right and wrong answers, and trains on those alone. Left out are the others, and right answers are counted among all that were drawn.",
			curves: one(leftOut, share("right answers", "sampling/correct", 1))},
		{id: "length", title: "Response length", unit: "tokens", format: plain, zero: true,
			about: "How long the sampled answers are.", curves: one(length)},
		{id: "cut", title: "Answers cut off", unit: "% of a step", format: percent, zero: true,
			about:  "Answers that reached the limit of tokens (sampling.max_tokens) before they ended.",
			curves: one(share("cut off", "response_length/clip_ratio", 0))},
		{id: "entropy", title: "Entropy", unit: "nats a token", format: plain, zero: true,
			about:  "How open the model's choice of the next token is. At 0 it always says the same, and there is nothing left to learn from.",
			curves: one(line("mean", "actor/entropy", 0))},
		{id: "clip", title: "Clipped tokens", unit: "% of response tokens", format: percent, zero: true,
			about:  "Tokens whose probability has moved so far within a step that the objective no longer pushes them.",
			curves: one(share("clipped", "actor/pg_clipfrac", 0), share("dual clip", "actor/pg_clipfrac_lower", 1))},
		{id: "kl", title: "Policy KL", unit: "nats a token", format: plain,
			about:  "How far the updates of a step move the policy from the one that sampled.",
			curves: one(line("old to new policy", "actor/ppo_kl", 0))},
		{id: "grad", title: "Gradient norm", unit: "L2, before clipping", format: plain, zero: true,
			about: "The size of the push on the weights, mean over the updates of a step.", curves: one(line("norm", "actor/grad_norm", 0))},
		{id: "mismatch-kl", title: "Server against trainer: KL", unit: "nats a token", format: plain,
			about:  "The server that samples and the trainer that learns compute the same probabilities on different code. Their distance, before each step: near 0 is well.",
			curves: one(kl)},
		{id: "mismatch-ratio", title: "Server against trainer: ratio", unit: "distance from 1", format: plain, log: true,
			about: "The same, token by token: by what fraction the two probabilities differ.",
			curves: one(beyondOne(line("greatest", "mismatch/ratio_max", 1)), beyondOne(line("99 % below", "mismatch/ratio_p99", 2)),
				beyondOne(line("median", "mismatch/ratio_p50", 0)))},
		{id: "lr", title: "Learning rate", unit: "of AdamW", format: plain, zero: true,
			about: "How far an update moves a weight; small while warming up.", curves: one(line("rate", "actor/lr", 0))},
		{id: "time", title: "Time of a step", unit: "seconds", format: seconds, zero: true, stacked: true,
			about:  "Sampling answers, updating the weights, and publishing them to the server.",
			curves: parts},
		{id: "throughput", title: "Throughput", unit: "tokens a second", format: plain, zero: true,
			about:  "Prompt and response tokens trained on, over the time of the whole step.",
			curves: one(line("whole step", "perf/throughput", 0))},
	}
}

// accuracyCurves are two for each held-out set: as validated, and sampled at
// the training temperature where that was measured.
func (r *run) accuracyCurves() []curve {
	var all []curve
	for i, set := range r.sets() {
		plainName, sampledName := r.decoding(), r.trainingDecoding()
		if len(r.sets()) > 1 {
			plainName, sampledName = set+", "+plainName, set+", "+sampledName
		}
		c := curve{name: plainName, ink: series(i), dots: true}
		t := curve{name: sampledName, ink: series(i), dots: true, dashed: true}
		if len(r.sets()) == 1 {
			t.ink, t.dashed = series(1), false
		}
		for _, m := range r.measurements {
			for _, k := range []struct {
				into *curve
				from map[string]float64
			}{{&c, m.Accuracy}, {&t, m.Sampled}} {
				if v, ok := k.from[set]; ok {
					k.into.x, k.into.y = append(k.into.x, float64(m.Steps)), append(k.into.y, 100*v)
				}
			}
		}
		all = append(all, c)
		if len(t.y) > 0 {
			all = append(all, t)
		}
	}
	return all
}

// sets are the names of the held-out sets.
func (r *run) sets() []string {
	names := map[string]bool{}
	for _, m := range r.measurements {
		for set := range m.Accuracy {
			names[set] = true
		}
		for set := range m.Sampled {
			names[set] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// decoding says how validation answers; trainingDecoding how its sampled part does.
func (r *run) decoding() string {
	if t := r.config.Validation.Temperature; t != 0 {
		return "T = " + fixed(t, 3)
	}
	return "greedy"
}

func (r *run) trainingDecoding() string {
	if t := r.config.Sampling.Temperature; t != 0 {
		return "sampled, T = " + strconv.FormatFloat(t, 'g', 3, 64)
	}
	return "sampled"
}

// rewardedFor says what an answer earns.
func (r *run) rewardedFor() string {
	text := "Each answer sampled for training is rewarded: "
	switch v := r.config.Reward.Verifier; v {
	case "", config.VerifierStrictBox:
		text += "+1 if its boxed result is the known one, else −1."
	case config.VerifierF1:
		text += "from 0 to 1, by the words that its result shares with the known one."
	case config.VerifierCommand, config.VerifierHTTP:
		text += "what a verifier of the user's own says (" + v + ")."
	default:
		text += "+1 if the verifier " + v + " accepts it, else −1."
	}
	if c := r.config; c.Reward.OverlongBuffer > 0 {
		text += " Above " + countOf(c.Sampling.MaxTokens-c.Reward.OverlongBuffer, "token") + " it loses some of that, " +
			plain(c.Reward.OverlongFactor) + " at " + count(int64(c.Sampling.MaxTokens)) + "."
	}
	return text
}

// strictReward: no reward lies outside −1 … 1, so that the axis can show all that was possible.
func (r *run) strictReward() bool {
	for _, key := range []string{"critic/score/min", "critic/score/max", "critic/score/mean"} {
		if slices.ContainsFunc(r.column(key), func(x float64) bool { return finite(x) && math.Abs(x) > 1 }) {
			return false
		}
	}
	return true
}

func times(y []float64, by float64) []float64 {
	all := make([]float64, len(y))
	for i := range y {
		all[i] = y[i] * by
	}
	return all
}

func add(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] + b[i]
	}
	return all
}

func over(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return all
}

// beyondOne turns ratios into their distance from 1.
func beyondOne(c curve) curve {
	for i := range c.y {
		c.y[i]--
	}
	return c
}
