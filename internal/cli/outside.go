package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/dashboard"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/metrics"
	"github.com/justrl/justrl/orchestrator/notify"
	"github.com/justrl/justrl/orchestrator/tensorboard"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
)

// outside is who a run tells beside the terminal: TensorBoard's files, Prometheus,
// a program of the user's. None of them can hold it up or end it. What the
// orchestrator tells goes to its observers, what the keeper does to itself. It is
// safe for concurrent use.
type outside struct {
	*progress
	board   *tensorboard.Writer // nil where it cannot be written
	metrics *metrics.Metrics
	page    *dashboard.Page // nil where nobody can look at it
	notify  *notify.Notifier
	fleet   atomic.Pointer[fleet.Fleet] // nil before there is one

	mu    sync.Mutex
	about notify.Event // what every event has, its Step among it
}

var _ keeperVoice = (*outside)(nil)

// openOutside begins with what the run in dir has recorded; web is where it can be
// looked at, if anywhere. The caller closes it.
func openOutside(cfg config.Config, info journal.Info, dir *journal.Dir, p *progress, web *listening) (*outside, error) {
	steps, err := dir.Steps()
	if err != nil {
		return nil, err
	}
	validations, err := dir.Validations()
	if err != nil {
		return nil, err
	}
	events, err := dir.Events()
	if err != nil {
		return nil, err
	}
	warn := func(err error) { p.Notice("%v", err) }
	o := &outside{progress: p, notify: notify.New(cfg.Notify.Command, time.Duration(cfg.Notify.Timeout), warn)}
	o.about = notify.Event{Run: info.ID, Dir: dir.Path(), Host: info.Host, Step: len(steps), Steps: cfg.Steps}
	o.metrics = metrics.New(metrics.Options{
		Run: info.ID, Model: cfg.Model, Preset: cfg.Preset, Version: version(), Steps: cfg.Steps, Servers: o.servers,
	}, steps, validations, events)
	web.Handle("GET /metrics", o.metrics.Handler())
	if url := web.url(); url != "" {
		o.page = dashboard.NewPage(dashboard.Options{
			Dir: dir.Path(), Info: info, Planned: cfg.Steps, Recorded: steps, Sizes: p.stage.sizes, Servers: o.members,
		})
		o.page.On(web.Server)
		p.Listening(url)
	}
	if o.board, err = tensorboard.Open(dir.Path(), filepath.Join(dir.Path(), tensorboard.Folder), warn); err != nil {
		warn(err)
	}
	o.tell(notify.Event{Event: notify.RunStarted, Message: fmt.Sprintf("%d of %d steps are done", len(steps), cfg.Steps)})
	return o, nil
}

// observers are all that the run tells, the terminal first.
func (o *outside) observers() orchestrator.Observers {
	all := orchestrator.Observers{o.progress, o.metrics, stepCounter{o}}
	if o.board != nil {
		all = append(all, o.board)
	}
	if o.page != nil {
		all = append(all, o.page)
	}
	return all
}

// tell sends an event to the user's program.
func (o *outside) tell(e notify.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.Time, e.Run, e.Dir, e.Host, e.Step, e.Steps = time.Now().UTC(), o.about.Run, o.about.Dir, o.about.Host, o.about.Step, o.about.Steps
	e.Message = strings.ReplaceAll(e.Message, "\n", "; ")
	o.notify.Send(e)
}

// stepCounter keeps the number of steps that events have, and passes the monitor's on.
type stepCounter struct{ o *outside }

// Phase implements orchestrator.Observer.
func (stepCounter) Phase(int, string) {}

// StepDone implements orchestrator.Observer.
func (c stepCounter) StepDone(s journal.Step, steps int) {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	c.o.about.Step, c.o.about.Steps = s.Step+1, steps
}

// Validated implements orchestrator.Observer.
func (stepCounter) Validated(int, string, float64, *float64) {}

// Notice implements orchestrator.Observer.
func (stepCounter) Notice(string, ...any) {}

// Event implements orchestrator.Observer.
func (c stepCounter) Event(e journal.Event) {
	c.o.tell(notify.Event{Event: notify.Signature, Signature: e.Signature, Action: e.Action, Message: e.Message, Evidence: e.Evidence})
}

// Rollout is the sampler's OnRollout.
func (o *outside) Rollout(row sampler.Row, r sampler.Rollout, err error) {
	o.progress.Rollout(row, r, err)
	o.metrics.Rollout(len(r.TokenIDs), err)
	if o.page != nil {
		o.page.Rollout(len(r.TokenIDs))
	}
}

// Server implements keeperVoice.
func (o *outside) Server(e journal.ServerEvent) {
	o.progress.Server(e)
	o.metrics.ServerEvent(e)
	if e.Event == journal.ServerStraggles {
		return // it is at work, and nothing is to be done
	}
	kind, message := notify.ServerFenced, e.Reason
	if e.Event == journal.ServerRejoined {
		kind, message = notify.ServerRejoined, fmt.Sprintf("back after %.1f s with weights version %d", e.Seconds, e.Version)
	}
	o.tell(notify.Event{Event: kind, Server: e.Server, Message: message})
}

// servers are those of the fleet, for Prometheus.
func (o *outside) servers() (all []metrics.Server) {
	f := o.fleet.Load()
	if f == nil {
		return nil
	}
	for _, m := range f.Stats() {
		all = append(all, metrics.Server{Name: m.Name, Fenced: m.Fenced, InFlight: m.InFlight, Tokens: m.Tokens, Version: m.Version})
	}
	return all
}

// members are those of the fleet, for the page.
func (o *outside) members() (all []dashboard.Member) {
	f := o.fleet.Load()
	if f == nil {
		return nil
	}
	for _, m := range f.Stats() {
		one := dashboard.Member{
			Name: m.Name, Fenced: m.Fenced, Since: m.Since, InFlight: m.InFlight, Limit: m.Limit, Version: m.Version, Samples: m.Samples, Tokens: m.Tokens,
		}
		if m.Why != nil {
			one.Why = m.Why.Error()
		}
		all = append(all, one)
	}
	return all
}

// ended tells how the run did.
func (o *outside) ended(ctx context.Context, s journal.Summary, err error) {
	if o.page != nil {
		o.page.Ended(howEnded(ctx, s, err))
	}
	switch {
	case err == nil:
		o.tell(notify.Event{Event: notify.RunFinished, Message: fmt.Sprintf("%d steps, reward %+.3f → %+.3f", s.Steps, s.RewardFirst, s.RewardLast)})
	case isInterrupted(ctx, err):
		o.tell(notify.Event{Event: notify.RunInterrupted, Message: err.Error()})
	default:
		o.tell(notify.Event{Event: notify.RunFailed, Message: err.Error()})
	}
}

// howEnded is that in words.
func howEnded(ctx context.Context, s journal.Summary, err error) string {
	switch {
	case err == nil:
		return fmt.Sprintf("Finished: %d steps, reward %+.3f → %+.3f", s.Steps, s.RewardFirst, s.RewardLast)
	case isInterrupted(ctx, err):
		return "Interrupted; it can be resumed"
	default:
		return "Failed: " + err.Error()
	}
}

// Close waits for the user's program, for notify.timeout at most.
func (o *outside) Close() error {
	var board error
	if o.board != nil {
		board = o.board.Close()
	}
	return errors.Join(o.notify.Close(), board)
}
