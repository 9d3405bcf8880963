package bridge

import (
	"errors"
	"fmt"
)

// ErrUnsupported is wrapped when a server cannot be given new weights at all.
var ErrUnsupported = errors.New("cannot load weights into this server")

// UnsupportedError says what a server lacks and how to start it so that it does not.
type UnsupportedError struct {
	Server string // URL
	What   string
	Hint   string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("server %s %s: %s", e.Server, e.What, e.Hint)
}

func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

// LoadError is a Publisher's failure to load. Until another load has succeeded the
// server may be paused, and its weights may be broken.
type LoadError struct{ Err error }

func (e *LoadError) Error() string { return e.Err.Error() }

func (e *LoadError) Unwrap() error { return e.Err }

// Part is one of the proofs that a load must pass.
type Part string

// The parts of the canary.
const (
	PartIdle      Part = "idle"      // between two loads the server's weights stay what they are
	PartOwn       Part = "own"       // the server's own log-probs change if and only if the weights do
	PartDirection Part = "direction" // they move as the trainer's do
	PartAgreement Part = "agreement" // server and trainer differ no more than at the start
	PartCache     Part = "cache"     // no answer comes from a prefix cache of older weights
)

// CanaryError says that a server does not serve the weights that it acknowledged.
type CanaryError struct {
	Server  string
	Version int64
	Part    Part
	// Seen is what was seen, and why it cannot be.
	Seen string
}

func (e *CanaryError) Error() string {
	s := fmt.Sprintf("server %s, weights version %d: canary (%s): %s", e.Server, e.Version, e.Part, e.Seen)
	if hint := hints[e.Part]; hint != "" {
		s += "; " + hint
	}
	return s
}

// hints say what to do about a server that failed a proof.
var hints = map[Part]string{
	PartIdle:      "keep others from it, and see what restarts it",
	PartOwn:       "restart it, and see that nothing but this one server answers at the address",
	PartDirection: "is it the run's model, and the only server at the address? restart it",
	PartAgreement: "is it the run's model, in the trainer's dtype? restart it",
	PartCache:     "restart it with --no-enable-prefix-caching, or a version whose /reset_prefix_cache works",
}
