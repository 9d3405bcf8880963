package cli

import (
	"context"
	"errors"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/agent"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
)

// isServerError tells the faults of a server from those of files and of the program.
func isServerError(err error) bool {
	var (
		unreachable *endpoint.UnreachableError
		reply       *endpoint.ReplyError
		status      *endpoint.StatusError
		cannot      *sampler.CannotError
		canary      *bridge.CanaryError
		timeout     *endpoint.TimeoutError
		unable      *evaluate.CannotError
		out         *fleet.OutError
		agents      *agent.Error
		late        *orchestrator.StepTimeoutError
	)
	return errors.As(err, &out) || errors.As(err, &agents) || errors.As(err, &late) || errors.As(err, &timeout) || errors.As(err, &unable) || errors.Is(err, orchestrator.ErrPublishTimeout) || errors.As(err, &unreachable) || errors.As(err, &reply) || errors.As(err, &status) || errors.As(err, &cannot) ||
		errors.As(err, &canary) || errors.Is(err, bridge.ErrUnsupported) || errors.Is(err, orchestrator.ErrMismatch)
}

func isInterrupted(ctx context.Context, err error) bool {
	return errors.Is(err, orchestrator.ErrInterrupted) || ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}
