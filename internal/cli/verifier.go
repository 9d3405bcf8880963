package cli

import (
	"fmt"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward"
)

func newVerifier(name string) (sampler.Verifier, error) {
	if name != config.VerifierStrictBox {
		return nil, fmt.Errorf("unknown verifier %q; there is: %s", name, config.VerifierStrictBox)
	}
	return reward.StrictBox{}, nil
}
