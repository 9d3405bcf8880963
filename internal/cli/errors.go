package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/sampler/vllm"
)

// isServerError tells the faults of a server from those of files and of the program.
func isServerError(err error) bool {
	var (
		unreachable *endpoint.UnreachableError
		reply       *endpoint.ReplyError
		status      *endpoint.StatusError
		cannot      *vllm.CannotError
		canary      *bridge.CanaryError
	)
	return errors.As(err, &unreachable) || errors.As(err, &reply) || errors.As(err, &status) || errors.As(err, &cannot) ||
		errors.As(err, &canary) || errors.Is(err, bridge.ErrUnsupported) || errors.Is(err, orchestrator.ErrMismatch)
}

func isInterrupted(ctx context.Context, err error) bool {
	return errors.Is(err, orchestrator.ErrInterrupted) || ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// firstDifference returns the first line of a that is not the line of b at the
// same place, without its comment; "" if there is none.
func firstDifference(a, b string) string {
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || line != other[i] {
			line, _, _ = strings.Cut(line, " #")
			return strings.TrimSpace(line)
		}
	}
	return ""
}
