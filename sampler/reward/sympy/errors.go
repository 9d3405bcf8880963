package sympy

import (
	"errors"
	"fmt"

	"github.com/justrl/justrl/sampler"
)

// What a question can end with besides an answer and the context's error. None
// of them is a verdict.
var (
	// ErrCrashed: the worker died or answered nonsense, twice.
	ErrCrashed = errors.New("the sympy worker crashed")
	// ErrMemory: the pair needs more than [Options.Memory].
	ErrMemory = errors.New("sympy needs more memory than it may have")
	// ErrClosed: the pool is, or was while the question waited.
	ErrClosed = errors.New("the pool of sympy workers is closed")
)

// errTooLong is in the chain of what ran out of time.
var errTooLong = fmt.Errorf("sympy: %w", sampler.ErrVerifyTimeout)

// SetupError says that there is no interpreter to ask, and what to do about it.
type SetupError struct {
	Doing string // what failed
	Err   error
	Hint  string
}

func (e *SetupError) Error() string { return e.Doing + ": " + e.Err.Error() + "; " + e.Hint }

// Unwrap gives the cause.
func (e *SetupError) Unwrap() error { return e.Err }
