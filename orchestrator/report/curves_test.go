package report

import (
	"strings"
	"testing"
)

// The page says what earned a reward under the run's own verifier.
func TestRewardedFor(t *testing.T) {
	for verifier, want := range map[string]string{
		"": "+1 if its boxed result is the known one", "strict-box": "+1 if its boxed result is the known one", "f1": "from 0 to 1",
		"command": "a verifier of the user's own says (command)", "choice": "+1 if the verifier choice accepts it, else −1.",
	} {
		var r run
		r.config.Reward.Verifier = verifier
		if got := r.rewardedFor(); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", verifier, got, want)
		}
	}
}
