package orchestrator

import (
	"math/rand/v2"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// forUpdater says in the updater's words what the sampler brought.
func forUpdater(groups []sampler.Group) []updater.Group {
	out := make([]updater.Group, len(groups))
	for i, g := range groups {
		out[i] = updater.Group{Ordinal: g.Row.Ordinal, Rollouts: make([]updater.Rollout, len(g.Rollouts))}
		for j, o := range g.Rollouts {
			out[i].Rollouts[j] = updater.Rollout{
				PromptTokenIDs: g.Row.PromptTokenIDs, TokenIDs: o.TokenIDs, Logprobs: o.Logprobs, Reward: o.Score.Reward,
			}
		}
	}
	return out
}

func forJournal(groups []sampler.Group) []journal.Rollout {
	var out []journal.Rollout
	for _, g := range groups {
		for _, o := range g.Rollouts {
			out = append(out, journalRollout(g.Row, o))
		}
	}
	return out
}

func journalRollout(row sampler.Row, o sampler.Rollout) journal.Rollout {
	return journal.Rollout{
		Group: row.Ordinal, ProblemID: row.Problem.ID, Sample: o.Sample,
		PromptTokenIDs: row.PromptTokenIDs, TokenIDs: o.TokenIDs, Logprobs: o.Logprobs,
		Text: o.Text, FinishReason: string(o.FinishReason), WeightsVersion: o.WeightsVersion,
		Reward: o.Score.Reward, Penalty: o.Score.Penalty, Correct: o.Score.Correct, Answer: o.Score.Answer, Server: o.Server,
	}
}

// samplerRollout is the inverse of journalRollout, but for the row.
func samplerRollout(o journal.Rollout) sampler.Rollout {
	return sampler.Rollout{
		Sample: o.Sample, TokenIDs: o.TokenIDs, Logprobs: o.Logprobs,
		Text: o.Text, FinishReason: sampler.FinishReason(o.FinishReason), WeightsVersion: o.WeightsVersion, Server: o.Server,
		Score: sampler.Score{Reward: o.Reward, Penalty: o.Penalty, Correct: o.Correct, Answer: o.Answer},
	}
}

func appendAnswers(answers []journal.Answer, groups []sampler.Group, sampled bool) []journal.Answer {
	for _, g := range groups {
		for _, o := range g.Rollouts {
			question := g.Row.Problem.Question
			if g.Row.Problem.Choices != "" {
				question += "\n" + g.Row.Problem.Choices
			}
			answers = append(answers, journal.Answer{
				ProblemID: g.Row.Problem.ID, Question: question, GroundTruth: g.Row.Problem.Answer,
				Sampled: sampled, Sample: o.Sample, Tokens: len(o.TokenIDs), Text: o.Text,
				FinishReason: string(o.FinishReason), Correct: o.Score.Correct,
			})
		}
	}
	return answers
}

// shuffleRewards permutes the scores among all rollouts of the step, as a
// fixed function of seed and step.
func shuffleRewards(groups []sampler.Group, seed int64, step int) {
	var scores []sampler.Score
	each(groups, func(o *sampler.Rollout) { scores = append(scores, o.Score) })
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(step)))
	rng.Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
	each(groups, func(o *sampler.Rollout) { o.Score, scores = scores[0], scores[1:] })
}

// describe fills in what can be said of the groups before training on them.
func describe(rec *journal.Step, groups []sampler.Group, maxTokens int) {
	rollouts, clipped, correct, punished, promptTokens, tokens := 0, 0, 0, 0, 0, 0
	penalty := 0.0
	first := true
	for _, g := range groups {
		equal := true
		for i := range g.Rollouts {
			o := &g.Rollouts[i]
			n, reward := len(o.TokenIDs), o.Score.Reward
			rec.WeightsVersion = max(rec.WeightsVersion, o.WeightsVersion)
			if first {
				rec.ScoreMin, rec.ScoreMax, rec.ResponseMin = reward, reward, n
				first = false
			}
			rec.ScoreMin, rec.ScoreMax = min(rec.ScoreMin, reward), max(rec.ScoreMax, reward)
			rec.ResponseMin, rec.ResponseMax = min(rec.ResponseMin, n), max(rec.ResponseMax, n)
			rec.ScoreMean += reward
			equal = equal && reward == g.Rollouts[0].Score.Reward
			if n >= maxTokens {
				clipped++
			}
			if o.Score.Correct {
				correct++
			}
			if o.Score.Penalty != 0 {
				punished++
				penalty += o.Score.Penalty
			}
			rollouts++
			tokens += n
			promptTokens += len(g.Row.PromptTokenIDs)
		}
		if equal {
			rec.EqualRows += 1 / float64(len(groups))
		}
	}
	n := float64(rollouts)
	rec.ScoreMean /= n
	rec.Correct = float64(correct) / n
	if punished > 0 {
		rec.Overlong = &journal.Overlong{OverlongShare: float64(punished) / n, OverlongPenalty: penalty / n}
	}
	rec.ResponseMean, rec.PromptMean = float64(tokens)/n, float64(promptTokens)/n
	rec.ResponseClip = float64(clipped) / n
	rec.Tokens = tokens + promptTokens
}

// trained fills in what the updater said of the step.
func trained(rec *journal.Step, result updater.StepResult) {
	rec.Updates, rec.UpdateMetrics, rec.Mismatch = result.Updates, meanUpdate(result.Updates), result.Mismatch
	for _, u := range result.Updates {
		rec.TokensTrained += int64(u.Tokens)
	}
}

// meanUpdate is the plain mean over a step's updates, as verl reports it;
// tokens and packs are sums.
func meanUpdate(updates []updater.UpdateMetrics) updater.UpdateMetrics {
	var m updater.UpdateMetrics
	n := float64(len(updates))
	for _, u := range updates {
		m.PGLoss += u.PGLoss / n
		m.PGClipFrac += u.PGClipFrac / n
		m.PGClipFracLower += u.PGClipFracLower / n
		m.PPOKL += u.PPOKL / n
		m.PPOKL3 += u.PPOKL3 / n
		m.Entropy += u.Entropy / n
		m.GradNorm += u.GradNorm / n
		m.LR += u.LR / n
		m.KLLoss += u.KLLoss / n
		m.EntropyLoss += u.EntropyLoss / n
		m.TISMean += u.TISMean / n
		m.TISCapped += u.TISCapped / n
		m.KLCoef = u.KLCoef // a setting
		m.Tokens += u.Tokens
		m.Packs += u.Packs
	}
	return m
}

func correctShare(groups []sampler.Group) float64 {
	n, correct := 0, 0
	each(groups, func(o *sampler.Rollout) {
		n++
		if o.Score.Correct {
			correct++
		}
	})
	return float64(correct) / float64(max(n, 1))
}

func responseTokens(groups []sampler.Group) int {
	n := 0
	each(groups, func(o *sampler.Rollout) { n += len(o.TokenIDs) })
	return n
}

func each(groups []sampler.Group, do func(*sampler.Rollout)) {
	for i := range groups {
		for j := range groups[i].Rollouts {
			do(&groups[i].Rollouts[j])
		}
	}
}
