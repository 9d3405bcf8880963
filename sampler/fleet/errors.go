package fleet

import (
	"fmt"
	"strings"
	"time"
)

// OutError says that no member serves what was asked for. The reasons of the
// fenced ones are in its chain.
type OutError struct {
	Version int64         // that was asked for; 0 is any
	Waited  time.Duration // for an admission
	At      time.Time     // when the wait ended
	Members []MemberStats // as they were then
}

func (e *OutError) Error() string {
	var b strings.Builder
	b.WriteString("no server ")
	if len(e.Members) > 1 {
		fmt.Fprintf(&b, "of %d ", len(e.Members))
	}
	if e.Version == 0 {
		b.WriteString("is in service")
	} else {
		fmt.Fprintf(&b, "serves version %d", e.Version)
	}
	fmt.Fprintf(&b, ", after a wait of %s: ", e.Waited)
	for i, m := range e.Members {
		if i > 0 {
			b.WriteString("; ")
		}
		if !m.Fenced {
			fmt.Fprintf(&b, "%s serves version %d", m.Name, m.Version)
			continue
		}
		fmt.Fprintf(&b, "%s is out for %s: %v", m.Name, e.At.Sub(m.Since).Round(time.Second), m.Why)
	}
	return b.String()
}

// Unwrap is why the members are out.
func (e *OutError) Unwrap() []error {
	var out []error
	for _, m := range e.Members {
		if m.Fenced {
			out = append(out, m.Why)
		}
	}
	return out
}

// MemberError is a member's failure that failed a request: one that is the
// request's own doing, or the last of too many.
type MemberError struct {
	Name  string // the member's
	Tries int    // how often the request had failed; 1 where it was refused
	Err   error
}

func (e *MemberError) Error() string {
	if e.Tries > 1 {
		return fmt.Sprintf("server %s: %v (it failed %d times, wherever it was asked for)", e.Name, e.Err, e.Tries)
	}
	return fmt.Sprintf("server %s: %v", e.Name, e.Err)
}

func (e *MemberError) Unwrap() error { return e.Err }
