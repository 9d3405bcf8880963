package report

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/config"
)

// figures are the diagrams of a run, in the order of the page, which leaves out
// those without data.
func (r *run) figures() []chart.Figure {
	x := r.stepsDone()
	line := func(name, key string, i int) chart.Curve {
		return chart.Curve{Name: name, X: x, Y: r.column(key), Ink: chart.Line(i)}
	}
	share := func(name, key string, i int) chart.Curve {
		c := line(name, key, i)
		c.Y = times(c.Y, 100)
		return c
	}
	length := line("mean", "response_length/mean", 0)
	length.Lower, length.Upper, length.Spread = r.column("response_length/min"), r.column("response_length/max"), "shortest to longest"
	length.Bounds = true
	kl := line("estimate", "mismatch/kl", 0)
	errs := r.column("mismatch/kl_std_err")
	kl.Lower, kl.Upper, kl.Spread = add(kl.Y, times(errs, -1)), add(kl.Y, errs), "± one standard error"
	leftOut := chart.Curve{Name: "problems left out", X: x, Y: times(over(r.column("sampling/groups_equal"), r.column("sampling/groups_drawn")), 100), Ink: chart.Line(0)}
	parts := []chart.Curve{line("sampling", "timing_s/gen", 0), line("updating", "timing_s/update_actor", 1), line("publishing", "timing_s/publish", 2)}
	rest := r.column("timing_s/step")
	for _, p := range parts {
		rest = add(rest, times(p.Y, -1))
	}
	for i := range rest {
		rest[i] = max(0, rest[i])
	}
	parts = append(parts, chart.Curve{Name: "rest", X: x, Y: rest, Ink: chart.Line(3)})

	one := func(c ...chart.Curve) []chart.Curve { return c }
	return []chart.Figure{
		{ID: "reward", Title: "Reward", Unit: "mean of all answers of a step", Format: numerals.Reward, Fixed: r.strictReward(), Low: -1, High: 1,
			About:  r.rewardedFor() + " This is what training raises.",
			Curves: one(line("mean", "critic/score/mean", 0))},
		{ID: "heldout", Title: "Held-out accuracy", Unit: "% right", Format: numerals.Percent, Fixed: true, Low: 0, High: 100,
			About:  "Problems that are held out from training, answered before it and every so many steps.",
			Curves: r.accuracyCurves()},
		{ID: "correct", Title: "Right answers in training", Unit: "% of a step", Format: numerals.Percent, Fixed: true, Low: 0, High: 100,
			About:  "Right answers among those sampled, and problems whose answers were all equally good: those teach nothing.",
			Curves: one(share("right answers", "reward/correct", 0), share("problems that teach nothing", "reward/equal_groups", 1))},
		{ID: "drawn", Title: "Dynamic sampling", Unit: "% of what a step drew", Format: numerals.Percent, Fixed: true, Low: 0, High: 100,
			About:  "A step draws problems until enough of them have both right and wrong answers, and trains on those alone. Left out are the others, and right answers are counted among all that were drawn.",
			Curves: one(leftOut, share("right answers", "sampling/correct", 1))},
		{ID: "length", Title: "Response length", Unit: "tokens", Format: numerals.Plain, Zero: true,
			About: "How long the sampled answers are.", Curves: one(length)},
		{ID: "cut", Title: "Answers cut off", Unit: "% of a step", Format: numerals.Percent, Zero: true,
			About:  "Answers that reached the limit of tokens (sampling.max_tokens) before they ended.",
			Curves: one(share("cut off", "response_length/clip_ratio", 0))},
		{ID: "entropy", Title: "Entropy", Unit: "nats a token", Format: numerals.Plain, Zero: true,
			About:  "How open the model's choice of the next token is. At 0 it always says the same, and there is nothing left to learn from.",
			Curves: one(line("mean", "actor/entropy", 0))},
		{ID: "clip", Title: "Clipped tokens", Unit: "% of response tokens", Format: numerals.Percent, Zero: true,
			About:  "Tokens whose probability has moved so far within a step that the objective no longer pushes them.",
			Curves: one(share("clipped", "actor/pg_clipfrac", 0), share("dual clip", "actor/pg_clipfrac_lower", 1))},
		{ID: "kl", Title: "Policy KL", Unit: "nats a token", Format: numerals.Plain,
			About:  "How far the updates of a step move the policy from the one that sampled.",
			Curves: one(line("old to new policy", "actor/ppo_kl", 0))},
		{ID: "grad", Title: "Gradient norm", Unit: "L2, before clipping", Format: numerals.Plain, Zero: true,
			About: "The size of the push on the weights, mean over the updates of a step.", Curves: one(line("norm", "actor/grad_norm", 0))},
		{ID: "mismatch-kl", Title: "Server against trainer: KL", Unit: "nats a token", Format: numerals.Plain,
			About:  "The server that samples and the trainer that learns compute the same probabilities on different code. Their distance, before each step: near 0 is well.",
			Curves: one(kl)},
		{ID: "mismatch-ratio", Title: "Server against trainer: ratio", Unit: "distance from 1", Format: numerals.Plain, Log: true,
			About: "The same, token by token: by what fraction the two probabilities differ.",
			Curves: one(beyondOne(line("greatest", "mismatch/ratio_max", 1)), beyondOne(line("99 % below", "mismatch/ratio_p99", 2)),
				beyondOne(line("median", "mismatch/ratio_p50", 0)))},
		{ID: "lr", Title: "Learning rate", Unit: "of AdamW", Format: numerals.Plain, Zero: true,
			About: "How far an update moves a weight; small while warming up.", Curves: one(line("rate", "actor/lr", 0))},
		{ID: "time", Title: "Time of a step", Unit: "seconds", Format: numerals.Seconds, Zero: true, Stacked: true,
			About:  "Sampling answers, updating the weights, and publishing them to the server.",
			Curves: parts},
		{ID: "throughput", Title: "Throughput", Unit: "tokens a second", Format: numerals.Plain, Zero: true,
			About:  "Prompt and response tokens trained on, over the time of the whole step.",
			Curves: one(line("whole step", "perf/throughput", 0))},
	}
}

// stepsDone is, for each record, how many steps were done after it.
func (r *run) stepsDone() []float64 {
	x := r.column("step")
	for i := range x {
		x[i]++
	}
	return x
}

// accuracyCurves are two for each held-out set: as validated, and sampled at
// the training temperature where that was measured.
func (r *run) accuracyCurves() []chart.Curve {
	var all []chart.Curve
	for i, set := range r.sets() {
		plainName, sampledName := r.decoding(), r.trainingDecoding()
		if len(r.sets()) > 1 {
			plainName, sampledName = set+", "+plainName, set+", "+sampledName
		}
		c := chart.Curve{Name: plainName, Ink: chart.Line(i), Dots: true}
		t := chart.Curve{Name: sampledName, Ink: chart.Line(i), Dots: true, Dashed: true}
		if len(r.sets()) == 1 {
			t.Ink, t.Dashed = chart.Line(1), false
		}
		for _, m := range r.measurements {
			for _, k := range []struct {
				into *chart.Curve
				from map[string]float64
			}{{&c, m.Accuracy}, {&t, m.Sampled}} {
				if v, ok := k.from[set]; ok {
					k.into.X, k.into.Y = append(k.into.X, float64(m.Steps)), append(k.into.Y, 100*v)
				}
			}
		}
		all = append(all, c)
		if len(t.Y) > 0 {
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
		return "T = " + numerals.Fixed(t, 3)
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
		text += " Above " + numerals.CountOf(c.Sampling.MaxTokens-c.Reward.OverlongBuffer, "token") + " it loses some of that, " +
			numerals.Plain(c.Reward.OverlongFactor) + " at " + numerals.Count(int64(c.Sampling.MaxTokens)) + "."
	}
	return text
}

// strictReward: no reward lies outside −1 … 1, so that the axis can show all that was possible.
func (r *run) strictReward() bool {
	for _, key := range []string{"critic/score/min", "critic/score/max", "critic/score/mean"} {
		if slices.ContainsFunc(r.steps.by[key], func(x float64) bool { return numerals.Finite(x) && math.Abs(x) > 1 }) {
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
func beyondOne(c chart.Curve) chart.Curve {
	for i := range c.Y {
		c.Y[i]--
	}
	return c
}
