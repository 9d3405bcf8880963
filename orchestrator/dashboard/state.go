package dashboard

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

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

// shot is a state as JSON, which all that follow a run are sent.
type shot struct {
	mu    sync.Mutex
	at    time.Time
	wakes uint64 // of the page, when it was taken
	body  []byte
}

// snapshot is the state as JSON, without a line break in it. It is computed once
// for all who ask within about a tick and while nobody is woken, so that many
// followers cost the run what one does. Nobody may write to it.
func (p *Page) snapshot() ([]byte, error) {
	p.shot.mu.Lock()
	defer p.shot.mu.Unlock()
	p.mu.Lock()
	wakes := p.wakes
	p.mu.Unlock()
	// A follower alone, who looks once a tick, is never given its last one again.
	if now := time.Now(); p.shot.body == nil || p.shot.wakes != wakes || now.Sub(p.shot.at) >= p.tick*9/10 {
		b, err := json.Marshal(p.state())
		if err != nil {
			return nil, err
		}
		p.shot.at, p.shot.wakes, p.shot.body = now, wakes, b
	}
	return p.shot.body, nil
}

// message is a state with the time at which it is sent, for browsers whose clock is another.
func (p *Page) message(state []byte) []byte {
	b := strconv.AppendInt([]byte(`{"now":`), p.Now().UnixMilli(), 10)
	return append(append(append(b, `,"state":`...), state...), '}')
}

// giveState answers with what the stream would say next. A browser that cannot
// have the stream asks for it, as may a script.
func (p *Page) giveState(w http.ResponseWriter, _ *http.Request) {
	b, err := p.snapshot()
	if err != nil {
		fault(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(p.message(b), '\n')) // the client may be gone
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
