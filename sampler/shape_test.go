package sampler

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// aToken takes an eighth for every token of an answer.
type aToken struct{}

func (aToken) Shape(s Score, tokens int) Score {
	s.Penalty = -float64(tokens) / 8
	s.Reward += s.Penalty
	return s
}

// kept is a ledger of what was added, and knows one rollout.
type kept struct {
	memory
	scores map[string]Score
}

func (k *kept) Add(row Row, r Rollout) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.scores[fmt.Sprint(row.Ordinal, "/", r.Sample)] = r.Score
	return nil
}

// Every reward is shaped once, before anybody sees it: the ledger, OnRollout
// and the groups have the same; what the ledger knew was shaped before, and
// what the verifier failed on has no reward to shape.
func TestRewardsAreShapedOnce(t *testing.T) {
	before := Rollout{Sample: 0, TokenIDs: []int32{1, 2}, Score: Score{Reward: 0.75, Penalty: -0.25, Correct: true}}
	k := &kept{memory{known: map[int64][]Rollout{100: {before}}}, map[string]Score{}}
	told := map[int]Score{}
	s := &Sampler{
		Generator: generateFunc(func(_ context.Context, r Request) ([]Rollout, error) {
			out := make([]Rollout, r.Count)
			for j := range out {
				out[j] = Rollout{Sample: r.First + j, TokenIDs: make([]int32, r.First+j+1), Text: fmt.Sprint("/", r.First+j), FinishReason: FinishStop}
			}
			return out, nil
		}),
		Verifier: verifyFunc(func(ctx context.Context, text, truth string) (Score, error) {
			if text == "/3" {
				return Score{Reward: 9}, errors.New("no grader")
			}
			return even(ctx, text, truth)
		}),
		Shaper: aToken{}, MaxUnscored: 0.5,
		OnRollout: func(_ Row, r Rollout, _ error) { told[r.Sample] = r.Score },
	}
	groups, err := s.Continue(t.Context(), rows(1), smallParams(4), StepSeeds(0, 0), 0, k)
	if err != nil {
		t.Fatal(err)
	}
	want := []Score{before.Score, {Reward: -1.25, Penalty: -0.25}, {Reward: 0.625, Penalty: -0.375, Correct: true, Answer: "0"}}
	if len(groups[0].Rollouts) != len(want) {
		t.Fatalf("%d rollouts, want %d", len(groups[0].Rollouts), len(want))
	}
	for j, w := range want {
		if got := groups[0].Rollouts[j].Score; got != w || told[j] != w || j > 0 && k.scores[fmt.Sprint("100/", j)] != w {
			t.Errorf("sample %d: %+v, told of %+v, kept %+v; want %+v", j, got, told[j], k.scores[fmt.Sprint("100/", j)], w)
		}
	}
	if told[3] != (Score{}) {
		t.Errorf("what was not verified has the score %+v", told[3])
	}
}
