package orchestrator

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

func group(ordinal int64, rewards ...float64) sampler.Group {
	g := sampler.Group{Row: sampler.Row{Ordinal: ordinal, PromptTokenIDs: []int32{1, 2, 3}}}
	for i, r := range rewards {
		ids := make([]int32, 2+i) // 2, 3, 4 … tokens
		g.Rollouts = append(g.Rollouts, sampler.Rollout{Sample: i, TokenIDs: ids, Score: sampler.Score{Reward: r, Correct: r > 0}})
	}
	return g
}

func TestDescribe(t *testing.T) {
	groups := []sampler.Group{group(0, 1, -1, -1, -1), group(1, -1, -1, -1, -1)}
	var got journal.Step
	describe(&got, groups, 5)
	want := journal.Step{
		ScoreMean: -0.75, ScoreMax: 1, ScoreMin: -1, Correct: 0.125, EqualRows: 0.5,
		ResponseMean: 3.5, ResponseMax: 5, ResponseMin: 2, ResponseClip: 0.25, PromptMean: 3,
		Tokens: 2*(2+3+4+5) + 8*3,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A penalty lowers the score and leaves the share of right answers as it was;
// it survives the journal.
func TestDescribePenalties(t *testing.T) {
	groups := []sampler.Group{group(0, 1, -1.5, -1, 0.75), group(1, -1, -1, -1, -1)}
	groups[0].Rollouts[1].Score.Penalty, groups[0].Rollouts[3].Score.Penalty = -0.5, -0.25
	var got journal.Step
	describe(&got, groups, 99)
	if got.Overlong == nil || *got.Overlong != (journal.Overlong{OverlongShare: 0.25, OverlongPenalty: -0.75 / 8}) || got.Correct != 0.25 || got.ScoreMean != -4.75/8 {
		t.Errorf("%+v, overlong %+v", got, got.Overlong)
	}
	for _, o := range groups[0].Rollouts {
		if back := samplerRollout(journalRollout(groups[0].Row, o)); back.Score != o.Score {
			t.Errorf("%+v came back as %+v", o.Score, back.Score)
		}
	}
}

func TestMeanUpdate(t *testing.T) {
	got := meanUpdate([]updater.UpdateMetrics{
		{PGLoss: 1, GradNorm: 4, LR: 1e-6, Tokens: 10, Packs: 1},
		{PGLoss: 2, GradNorm: 0, LR: 1e-6, Tokens: 30, Packs: 2},
	})
	want := updater.UpdateMetrics{PGLoss: 1.5, GradNorm: 2, LR: 1e-6, Tokens: 40, Packs: 3}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The control keeps what rewards there are and nothing of whose they are.
func TestShuffleRewards(t *testing.T) {
	make64 := func() []sampler.Group {
		var groups []sampler.Group
		for i := range int64(64) {
			groups = append(groups, group(i, 1, -1, -1, -1, -1, -1, -1, -1))
		}
		return groups
	}
	positions := func(seed int64, step int) (at []int) {
		groups := make64()
		shuffleRewards(groups, seed, step)
		i := 0
		each(groups, func(o *sampler.Rollout) {
			if o.Score.Reward == 1 {
				at = append(at, i)
			}
			if o.Score.Correct != (o.Score.Reward == 1) {
				t.Fatal("a reward was parted from its verdict")
			}
			i++
		})
		return at
	}
	a := positions(1, 0)
	if len(a) != 64 {
		t.Fatalf("%d rewards of +1 after the shuffle, 64 before", len(a))
	}
	if d := cmp.Diff(a, positions(1, 0)); d != "" {
		t.Errorf("the same seed and step shuffled otherwise:\n%s", d)
	}
	if cmp.Equal(a, positions(1, 1)) || cmp.Equal(a, positions(2, 0)) {
		t.Error("another step or seed shuffled the same")
	}
	var bySample [8]float64
	for step := range 100 {
		for _, i := range positions(3, step) {
			bySample[i%8]++
		}
	}
	chi2 := 0.0
	for _, n := range bySample {
		chi2 += (n - 800) * (n - 800) / 800
	}
	if chi2 > 24.3 { // 99.9 % quantile at 7 degrees of freedom; the seeds are fixed
		t.Errorf("rewards do not land evenly: %v, chi² %.1f", bySample, chi2)
	}
}
