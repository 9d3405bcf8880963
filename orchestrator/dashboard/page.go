package dashboard

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"golang.org/x/sync/singleflight"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/report"
)

var _ orchestrator.Observer = (*Page)(nil)

// Options are those of a run's page.
type Options struct {
	Dir      string // the run directory, whose files the page shows
	Info     journal.Info
	Planned  int            // steps that the run is to do
	Recorded []journal.Step // before this process began
	// Sizes is how many rollouts a phase asks for, where it asks for a known number.
	Sizes map[string]int64
	// Servers says how the servers are, as often as it is asked; nil without any.
	Servers func() []Member
	Now     func() time.Time // nil is time.Now
}

// Member is how one of the servers that a run samples from is.
type Member struct {
	Name     string    `json:"name"`
	Fenced   bool      `json:"fenced"`
	Why      string    `json:"why,omitempty"` // that it is fenced
	Since    time.Time `json:"since"`         // it was fenced or admitted
	InFlight int       `json:"in_flight"`     // samples that are asked of it
	Limit    int       `json:"limit"`         // the most at present
	Version  int64     `json:"version"`       // of the weights that it serves
	Samples  int64     `json:"samples"`       // that it gave since this process began
	Tokens   int64     `json:"tokens"`        // of those
}

// Page is the page of one run. It is told of the run as an orchestrator.Observer
// and by [Page.Rollout], which cost a lock and a few additions; all else is read
// and computed when somebody looks. It is safe for concurrent use.
//
// What a browser is sent is state and not history: it is told what the run is
// doing and how long its files are, and asks for what it does not have of them
// ("after"). So it does not matter what it missed while it was not connected. Each
// process of a run has an instance, by which a browser knows that steps may have
// been taken back (--resume) and begins anew.
type Page struct {
	Options
	instance string
	live     *report.Live
	tick     time.Duration // between looks at the state, where nothing woke a client
	beat     time.Duration // between signs of life
	patience time.Duration // for a client to take what it is sent

	shot    shot
	reports singleflight.Group

	mu      sync.Mutex
	now     doing
	ended   string
	wakes   uint64                     // how often the clients were woken
	clients map[chan struct{}]struct{} // to wake
}

// mostClients is how many browsers may follow a run at once.
const mostClients = 32

// NewPage makes the page of a run and reads nothing.
func NewPage(o Options) *Page {
	if o.Now == nil {
		o.Now = time.Now
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	p := &Page{
		Options: o, instance: hex.EncodeToString(id[:]), live: report.Follow(o.Dir), clients: map[chan struct{}]struct{}{},
		tick: 500 * time.Millisecond, beat: 15 * time.Second, patience: 10 * time.Second,
	}
	p.now = newDoing(o)
	p.Recorded = nil
	return p
}

// On adds the page's routes to a server.
func (p *Page) On(to *Server) {
	to.Handle("GET /{$}", http.HandlerFunc(p.html))
	to.Handle("GET /api/live", http.HandlerFunc(p.stream))
	to.Handle("GET /api/state", http.HandlerFunc(p.giveState))
	to.Handle("GET /api/curves", gzhttp.GzipHandler(http.HandlerFunc(p.giveCurves)))
	to.Handle("GET /api/events", http.HandlerFunc(p.giveEvents))
	to.Handle("GET /api/rollouts", gzhttp.GzipHandler(http.HandlerFunc(p.giveRollouts)))
	to.Handle("GET /api/heldout", gzhttp.GzipHandler(http.HandlerFunc(p.giveHeldOut)))
	to.Handle("GET /report.html", gzhttp.GzipHandler(http.HandlerFunc(p.report)))
}

// html is the page itself, which asks for all that is in it.
func (p *Page) html(w http.ResponseWriter, _ *http.Request) {
	model := p.Info.Model
	writeHTML(w, http.StatusOK, "page.html", struct{ Title, Model, ID, Host, Dir string }{
		filepath.Join(filepath.Base(filepath.Dir(model)), filepath.Base(model)), model, p.Info.ID, p.Info.Host, p.Dir,
	})
}

// report is the run so far as the one file that justrl report writes. Who asks
// while it is written gets the same one.
func (p *Page) report(w http.ResponseWriter, _ *http.Request) {
	page, err, _ := p.reports.Do("", func() (any, error) {
		var b bytes.Buffer
		err := report.Write(p.Dir, &b)
		return b.Bytes(), err
	})
	if err != nil {
		fault(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(page.([]byte)) // the client may be gone
}
