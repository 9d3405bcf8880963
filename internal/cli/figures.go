package cli

import (
	"slices"
	"time"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/fleet"
)

// leastStraggle is how long a request must have taken to be told of: below, it
// is the machine's noise that makes one slow. All of them are counted.
const leastStraggle = 5 * time.Second

// straggles is told by the fleet of a request that takes too long. Of a server's
// between two records the first is told and the slowest is recorded.
func (k *keeper) straggles(s fleet.Straggler) {
	if s.Took < leastStraggle {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	took, usual := seconds(s.Took), seconds(s.Usual)
	i := slices.IndexFunc(k.events, func(e journal.ServerEvent) bool {
		return e.Server == s.Name && e.Event == journal.ServerStraggles
	})
	if i < 0 {
		k.happened(journal.ServerEvent{Time: time.Now().UTC(), Server: s.Name, Event: journal.ServerStraggles, Seconds: took, Usual: usual, Requests: 1})
		return
	}
	e := &k.events[i]
	e.Requests++
	if took > e.Seconds {
		e.Seconds, e.Usual = took, usual
	}
}

// Asked implements [orchestrator.Servers].
func (k *keeper) Asked() []journal.ServerPart {
	now := k.fleet.Stats()
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]journal.ServerPart, len(now))
	for i, m := range now {
		var was fleet.MemberStats
		if k.asked != nil {
			was = k.asked[i]
		}
		out[i] = journal.ServerPart{
			Server: m.Name, Seconds: seconds(m.Busy - was.Busy),
			Retries: int(m.Requeued - was.Requeued), Stragglers: int(m.Stragglers - was.Stragglers),
		}
	}
	k.asked = now
	return out
}

// seconds are to the millisecond.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
