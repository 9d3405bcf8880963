package cli

import (
	"context"
	"errors"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
)

// An interruption while the interpreter starts is one, not a fault of it.
func TestRuleGraderInterrupted(t *testing.T) {
	cause := errors.New("interrupt")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, done, err := newRuleGrader(ctx, config.Reward{Workers: 1}, func(string) {})
	if err != cause { //nolint:errorlint // nothing around it
		t.Errorf("error %v, want %v", err, cause)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}
