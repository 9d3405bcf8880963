package fleet

import (
	"context"
	"errors"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// verdict is what a member's error says about it.
type verdict int

const (
	refused  verdict = iota // the request is at fault: it fails, the member is well
	pressure                // the member wants less for a while
	passing                 // a failure of this request that leaves no doubt of the weights, unless it stays
	aborted                 // the same, and the member's doing alone
	doubt                   // the member may be gone, or be another one by now
)

// judge reads a member's error. What is not known to be harmless is doubt
// where a server was involved, and the request's own fault where none was.
func judge(err error) verdict {
	if errors.Is(err, sampler.ErrAborted) {
		return aborted
	}
	var timeout *endpoint.TimeoutError
	var given *endpoint.GivenUpError
	var unreachable *endpoint.UnreachableError
	var reply *endpoint.ReplyError
	switch {
	case errors.As(err, &timeout), errors.As(err, &given), errors.As(err, &unreachable), errors.As(err, &reply),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled): // nobody here has cancelled it
		return doubt
	}
	var status *endpoint.StatusError
	if !errors.As(err, &status) {
		return refused
	}
	switch status.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return refused
	case http.StatusTooManyRequests:
		return pressure
	case http.StatusServiceUnavailable:
		if status.RetryAfter > 0 {
			return pressure
		}
		return doubt // so does a proxy say that there is nobody behind it
	case http.StatusInternalServerError:
		if !status.Dead() {
			return passing
		}
	}
	return doubt
}
