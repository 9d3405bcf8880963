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
	// Asked returns what each server was asked for since it was called last:
	// Server, Seconds, Retries and Stragglers are set.
	Asked() []journal.ServerPart
	// TakenBack notes that n rollouts of a server are drawn again.
	TakenBack(server string, n int)
	// Waiting says in words what each server with unanswered requests has, the
	// longest wait first, and then which are out.
	Waiting() []string
}

// asked is what the servers were asked for since it was called last.
func (r *Run) asked() []journal.ServerPart {
	if r.Servers == nil {
		return nil
	}
	return r.Servers.Asked()
}

// parts says who sampled what, by server, beside what each was asked for.
// Rollouts that do not say who sampled them are of the only one.
func parts(groups []sampler.Group, asked []journal.ServerPart) []journal.ServerPart {
	by := map[string]*journal.ServerPart{}
	var all []*journal.ServerPart
	for _, p := range asked {
		by[p.Server], all = &p, append(all, &p)
	}
	each(groups, func(o *sampler.Rollout) {
		p := by[o.Server]
		switch {
		case o.Server == "" && len(asked) != 1:
			return
		case o.Server == "":
			p = all[0]
		case p == nil:
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

// countFenced has the parts say how often the events took their servers out.
func countFenced(parts []journal.ServerPart, events []journal.ServerEvent) {
	for _, e := range events {
		if i := slices.IndexFunc(parts, func(p journal.ServerPart) bool { return p.Server == e.Server }); i >= 0 && e.Event == journal.ServerFenced {
			parts[i].Fenced++
		}
	}
}

// events is what the record of a step says of the servers.
func (r *Run) events() []journal.ServerEvent {
	if r.Servers == nil {
		return nil
	}
	return r.Servers.Events()
}
