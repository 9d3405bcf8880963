package orchestrator

import (
	"slices"
	"strings"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// Servers is what happens to the servers while the run goes on, for its records.
type Servers interface {
	// Events returns what has happened since it was called last, in that order.
	Events() []journal.ServerEvent
	// TakenBack notes that n rollouts of a server are drawn again.
	TakenBack(server string, n int)
	// Waiting says in words what each server with unanswered requests has, the
	// longest wait first, and then which are out.
	Waiting() []string
}

// parts says who sampled what, by server; nil where there is but one.
func parts(groups []sampler.Group) []journal.ServerPart {
	by := map[string]*journal.ServerPart{}
	var all []*journal.ServerPart
	each(groups, func(o *sampler.Rollout) {
		if o.Server == "" {
			return
		}
		p := by[o.Server]
		if p == nil {
			p = &journal.ServerPart{Server: o.Server}
			by[o.Server], all = p, append(all, p)
		}
		p.Version = max(p.Version, o.WeightsVersion)
		p.Rollouts++
		p.Tokens += len(o.TokenIDs)
	})
	slices.SortFunc(all, func(a, b *journal.ServerPart) int { return strings.Compare(a.Server, b.Server) })
	var out []journal.ServerPart
	for _, p := range all {
		out = append(out, *p)
	}
	return out
}

// events is what the record of a step says of the servers.
func (r *Run) events() []journal.ServerEvent {
	if r.Servers == nil {
		return nil
	}
	return r.Servers.Events()
}
