package dashboard

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/journal"
)

// state is what a run is doing, as browsers are told. Times are milliseconds
// since 1970; a browser computes from them what goes on by itself.
type state struct {
	Instance  string             `json:"instance"`
	Assets    string             `json:"assets"` // version of the page; another one is loaded anew
	Step      int                `json:"step"`   // that the run is in, from 0; below 0 before the first
	Planned   int                `json:"planned"`
	Phase     string             `json:"phase"`
	Began     int64              `json:"began"`
	StepBegan int64              `json:"step_began"`
	Batch     int                `json:"batch"`
	Rollouts  int64              `json:"rollouts"`
	Of        int64              `json:"of"` // 0 where that is not known
	Tokens    int64              `json:"tokens"`
	Took      map[string]float64 `json:"took"` // seconds of each phase, the last time
	Pace      float64            `json:"pace"` // seconds a step; 0 while that is not known
	Servers   []Member           `json:"servers"`
	// Files are the lengths in bytes of what the page is made of. One that
	// changed has something new.
	Files map[string]int64 `json:"files"`
	Ended string           `json:"ended,omitempty"`
}

func (p *Page) state() state {
	p.mu.Lock()
	d := p.now
	s := state{
		Instance: p.instance, Assets: assetsVersion, Step: d.step, Planned: d.planned, Phase: d.phase, Began: milliseconds(d.began), StepBegan: milliseconds(d.stepBegan),
		Batch: d.batch, Rollouts: d.rollouts, Of: p.Sizes[d.phase], Tokens: d.tokens, Took: maps.Clone(d.took), Pace: d.pace, Ended: p.ended,
	}
	p.mu.Unlock()
	s.Servers = []Member{}
	if p.Servers != nil {
		s.Servers = slices.Concat(s.Servers, p.Servers())
	}
	s.Files = map[string]int64{}
	for name, path := range map[string]string{
		"steps": journal.StepsPath(p.Dir), "validation": journal.ValidationsPath(p.Dir), "events": journal.EventsPath(p.Dir),
	} {
		if st, err := os.Stat(path); err == nil { // else it is not there yet
			s.Files[name] = st.Size()
		}
	}
	return s
}

func (p *Page) giveState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	guard.Reply(w, http.StatusOK, p.state())
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
