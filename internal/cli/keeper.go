package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
)

var _ orchestrator.Servers = (*keeper)(nil)

// keeper holds the fleet that samples and the bridge that publishes together:
// what one of them finds out about a server the other is told, and a server that
// is out is asked, again and again, whether it is back. Then it is loaded,
// proved and admitted. It is safe for concurrent use.
type keeper struct {
	fleet  *fleet.Fleet
	bridge *bridge.Bridge
	// back brings a server back: it is there, can train, and serves what is live.
	back  func(ctx context.Context, name string, ours bool) error
	told  func(journal.ServerEvent)    // of what happens; it must not block
	still func(name string, err error) // of an attempt that failed
	first time.Duration                // before the first attempt; 0 is half a second
	most  time.Duration                // between two; 0 is ten seconds

	ctx   context.Context // of the attempts
	stop  context.CancelFunc
	group errgroup.Group

	mu     sync.Mutex
	out    map[string]*outage
	asking map[string]bool // a goroutine tries to bring it back
	lies   map[string]int  // times that the canary has caught it
	events []journal.ServerEvent
	asked  []fleet.MemberStats // as Asked saw it last
}

// outage is a server that is out.
type outage struct {
	since time.Time
	ours  bool // a load of ours that failed may have left it paused
}

// Close gives up on those that are out.
func (k *keeper) Close() error {
	k.mu.Lock() // so that bring has begun what it begins, or does not
	k.stop()
	k.mu.Unlock()
	return k.group.Wait()
}

// keeperVoice is told of servers that leave the run, come back, or do not. It must not block.
type keeperVoice interface {
	Server(journal.ServerEvent)
	StillOut(name string, err error)
}

// newKeeper wires the servers of a run. It sends requests to choose the
// canary's probes. The caller closes it.
func newKeeper(ctx context.Context, all servers, cfg config.Config, run string, want []bridge.Tensor, t trainer, d *data, p keeperVoice) (k *keeper, err error) {
	k = &keeper{
		told: p.Server, still: p.StillOut,
		out: map[string]*outage{}, asking: map[string]bool{}, lies: map[string]int{},
	}
	attempts, stop := context.WithCancel(context.WithoutCancel(ctx)) // an interrupted run still ends its step
	k.ctx, k.stop = attempts, stop
	defer func() {
		if err != nil {
			stop()
		}
	}()
	probes, err := all.probes(ctx, cfg, d)
	if err != nil {
		return nil, fmt.Errorf("choose the canary's probes: %w", err)
	}
	patience := time.Duration(cfg.Sampling.Patience)
	// No less than the run ever asks for at a time: the fleet finds what a server bears.
	members := k.watching(fleet.Options{Patience: patience, MaxInFlight: max(fleet.DefaultMaxInFlight, cfg.Sampling.Concurrency*cfg.Sampling.N)})
	deployments := bridge.Options{Trainer: trainerScorer{t}, Probes: probes, Patience: patience, GiveUp: ctx.Done(), OnLive: k.live, OnFenced: k.fencedByBridge}
	byName := map[string]*server{}
	for _, s := range all {
		byName[s.name] = s
		members.Members = append(members.Members, fleet.Member{Name: s.name, Generator: s})
		dep, err := s.deployment(run, want)
		if err != nil {
			return nil, err
		}
		deployments.Deployments = append(deployments.Deployments, dep)
	}
	if k.fleet, err = fleet.New(members); err != nil {
		return nil, err
	}
	if k.bridge, err = bridge.New(deployments); err != nil {
		return nil, err
	}
	k.back = func(ctx context.Context, name string, ours bool) error {
		s, limit := byName[name], time.Duration(cfg.Publish.Timeout)
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w (%s)", orchestrator.ErrPublishTimeout, limit))
		defer cancel()
		if _, err := s.connect(ctx, ours); err != nil {
			return err
		}
		dep, err := s.deployment(run, want)
		if err != nil {
			return err
		}
		return k.bridge.Rejoin(ctx, dep)
	}
	return k, nil
}

// watching has the fleet tell the keeper what it finds out.
func (k *keeper) watching(o fleet.Options) fleet.Options {
	o.OnFenced, o.OnStraggler = k.fencedByFleet, k.straggles
	return o
}

// generator samples from the fleet. Where there is but one server its rollouts
// do not say which.
func (k *keeper) generator(n int) sampler.Generator {
	if n == 1 {
		return nameless{k.fleet}
	}
	return k.fleet
}

// nameless leaves out which server a rollout is from.
type nameless struct{ sampler.Generator }

// Generate implements [sampler.Generator].
func (g nameless) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	rollouts, err := g.Generator.Generate(ctx, r)
	for i := range rollouts {
		rollouts[i].Server = ""
	}
	return rollouts, err
}

// live is the bridge's: the server was seen to serve the version.
func (k *keeper) live(name string, version int64) {
	k.returns(name, version)
	k.fleet.Admit(name, version) // last: it may fail again at once, and is out anew then
}

// returns notes that a server is not out any more.
func (k *keeper) returns(name string, version int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.out[name]
	if o == nil {
		return
	}
	delete(k.out, name)
	k.happened(journal.ServerEvent{
		Time: time.Now().UTC(), Server: name, Event: journal.ServerRejoined, Version: version,
		Seconds: time.Since(o.since).Round(time.Millisecond).Seconds(),
	})
}

// fencedByFleet is told of a server that failed while it was sampled from; of
// one that the bridge has fenced it is an echo.
func (k *keeper) fencedByFleet(name string, err error) {
	if k.leaves(name, err, false) {
		k.bridge.Fence(name, err)
		k.bring(name)
	}
}

// fencedByBridge is told, under the bridge's lock, of a server that could not be
// loaded or that the canary has caught.
func (k *keeper) fencedByBridge(name string, err error) {
	if k.leaves(name, err, leftPaused(err)) {
		k.fleet.Fence(name, err)
		k.bring(name)
	}
}

// leaves notes that a server is out; false if that is known.
func (k *keeper) leaves(name string, err error, ours bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o := k.out[name]; o != nil {
		o.ours = o.ours || ours
		return false
	}
	k.out[name] = &outage{since: time.Now(), ours: ours}
	if caught(err) {
		k.lies[name]++
	}
	k.happened(journal.ServerEvent{Time: time.Now().UTC(), Server: name, Event: journal.ServerFenced, Reason: err.Error()})
	return true
}

// leftPaused tells whether a server may be paused because of err.
func leftPaused(err error) bool {
	var load *bridge.LoadError
	return errors.As(err, &load) && !caught(err)
}

func caught(err error) bool {
	var lie *bridge.CanaryError
	return errors.As(err, &lie)
}

// happened keeps an event for the records; k.mu is held.
func (k *keeper) happened(e journal.ServerEvent) {
	k.events = append(k.events, e)
	k.told(e)
}

// Events implements [orchestrator.Servers].
func (k *keeper) Events() []journal.ServerEvent {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.events
	k.events = nil
	return out
}

// TakenBack implements [orchestrator.Servers]: the event that took the server out says so.
func (k *keeper) TakenBack(server string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.events) - 1; i >= 0; i-- {
		if e := &k.events[i]; e.Server == server && e.Event == journal.ServerFenced {
			e.TakenBack += n
			return
		}
	}
}

// Waiting implements [orchestrator.Servers].
func (k *keeper) Waiting() []string {
	now, all := time.Now(), k.fleet.Stats()
	slices.SortStableFunc(all, func(a, b fleet.MemberStats) int { return a.Oldest.Compare(b.Oldest) })
	var busy, out []string
	for _, m := range all {
		switch {
		case m.Fenced:
			out = append(out, fmt.Sprintf("%s is out for %s: %v", m.Name, since(now, m.Since), m.Why))
		case m.InFlight > 0:
			busy = append(busy, fmt.Sprintf("%s has %d unanswered, the oldest for %s", m.Name, m.InFlight, since(now, m.Oldest)))
		}
	}
	return append(busy, out...)
}

func since(now, then time.Time) time.Duration { return now.Sub(then).Round(100 * time.Millisecond) }
