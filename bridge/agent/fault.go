package agent

import (
	"errors"
	"fmt"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

// Fault is an error that crosses from an agent to the trainer, with as much of
// its kind as the trainer acts upon.
type Fault struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	// Of a canary's.
	Version int64       `json:"version,omitempty"`
	Part    bridge.Part `json:"part,omitempty"`
}

const (
	faultUnsupported = "unsupported"
	faultUnreachable = "unreachable"
	faultCanary      = "canary"
	faultOther       = "other"
)

func faultOf(err error) *Fault {
	f := &Fault{Kind: faultOther, Message: err.Error()}
	var canary *bridge.CanaryError
	var gone *endpoint.UnreachableError
	switch {
	case errors.As(err, &canary):
		f.Kind, f.Message, f.Version, f.Part = faultCanary, canary.Seen, canary.Version, canary.Part
	case errors.Is(err, bridge.ErrUnsupported):
		f.Kind = faultUnsupported
	case errors.As(err, &gone):
		f.Kind = faultUnreachable
	}
	return f
}

// Error is what an agent says went wrong on its side. It unwraps to
// bridge.ErrUnsupported, or to an endpoint.UnreachableError where the agent
// cannot reach its server or the trainer.
type Error struct {
	Agent   string // URL
	Message string // names what could not be done, and where
	is      error
}

func (e *Error) Error() string { return fmt.Sprintf("agent %s: %s", e.Agent, e.Message) }

func (e *Error) Unwrap() error { return e.is }

// error is f as the trainer sees it.
func (f *Fault) error(agent, server string) error {
	e := &Error{Agent: agent, Message: f.Message}
	switch f.Kind {
	case faultCanary:
		return &bridge.CanaryError{Server: server, Version: f.Version, Part: f.Part, Seen: f.Message}
	case faultUnsupported:
		e.is = bridge.ErrUnsupported
	case faultUnreachable:
		e.is = &endpoint.UnreachableError{Method: "POST", URL: server, Err: errors.New(f.Message), Hint: "look at the agent's log"}
	}
	return e
}
