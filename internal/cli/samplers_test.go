package cli

import (
	"context"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward"
)

// long answers everything right, in 13,312 tokens: half of the buffer of 4,096 before 15,360.
type long struct{}

func (long) Generate(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	out := make([]sampler.Rollout, r.Count)
	for j := range out {
		out[j] = sampler.Rollout{Sample: r.First + j, TokenIDs: make([]int32, 13312), Text: `\boxed{42}`, FinishReason: sampler.FinishStop}
	}
	return out, nil
}

// Long answers are punished in training where the preset says so, in validation never.
func TestOnlyTrainingIsShaped(t *testing.T) {
	for preset, want := range map[string]float64{config.DefaultPreset: 0, "justrl-overlong": -0.5, "dapo": -0.5, "grpo-classic": 0, "dr-grpo": 0} {
		cfg, err := config.Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		training, validation := samplers(cfg, long{}, reward.StrictBox{}, reward.StrictBox{}, nil)
		for _, c := range []struct {
			name    string
			s       *sampler.Sampler
			penalty float64
		}{{"training", training, want}, {"validation", validation, 0}} {
			rows := []sampler.Row{{Problem: sampler.Problem{Answer: "42"}, PromptTokenIDs: []int32{1}}}
			groups, err := c.s.Sample(t.Context(), rows, sampler.Params{N: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: cfg.Sampling.MaxTokens}, sampler.StepSeeds(1, 0), 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := groups[0].Rollouts[0].Score; got != (sampler.Score{Reward: 1 + c.penalty, Penalty: c.penalty, Correct: true, Answer: "42"}) {
				t.Errorf("%s, %s: %+v, want a penalty of %g", preset, c.name, got, c.penalty)
			}
		}
	}
}

// Held-out answers are scored by a verifier of their own, where there is one.
func TestHeldOutAnswersHaveTheirVerifier(t *testing.T) {
	cfg, err := config.Preset(config.DefaultPreset)
	if err != nil {
		t.Fatal(err)
	}
	training, validation := samplers(cfg, long{}, reward.StrictBox{}, reward.Regex{Pattern: "boxed"}, nil)
	rows := []sampler.Row{{Problem: sampler.Problem{Answer: `\boxed{42}`}, PromptTokenIDs: []int32{1}}}
	for s, want := range map[*sampler.Sampler]bool{training: false, validation: true} {
		groups, err := s.Sample(t.Context(), rows, sampler.Params{N: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 20000}, sampler.StepSeeds(1, 0), 1)
		if err != nil || groups[0].Rollouts[0].Score.Correct != want {
			t.Errorf("%+v (%v), want %t", groups, err, want)
		}
	}
}
