package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

// Options are an Agent's settings. Dir, Trainer and Open are needed.
type Options struct {
	// Dir is where snapshots go: a folder of the agent's own, which the server
	// reads under the same path. It is made if need be.
	Dir string
	// Keep is how many snapshots Dir may hold, the one that is coming included;
	// at least 2, so that the server can go back. 0 is 2.
	Keep int
	// Trainer is where snapshots come from, the only place. The caller closes it.
	Trainer *endpoint.Endpoint
	// Open makes the local server's publisher for a run, whose first snapshot is
	// given. One that came of it is asked for nothing more once another run's has.
	Open func(ctx context.Context, run string, first bridge.Snapshot) (bridge.Publisher, error)
	// Server is the local server's address, for [Status].
	Server string
	// Look, when set, asks the local server in which way it would be loaded, as
	// Status tells. It changes nothing there, and is called between loads.
	Look func(ctx context.Context) (way string, err error)
	// Stall is how long a transfer may bring nothing before it is asked for
	// again; 0 is 30 s.
	Stall time.Duration
	// Retry is how long a trainer that does not answer is waited for.
	Retry endpoint.Retry
	// Wait is how long a request to load waits for the end before it is told how
	// far the load is; 0 is 10 s.
	Wait time.Duration
	// Notify, when set, is told of every load, in a line.
	Notify func(line string)
}

// Agent loads snapshots into the server beside it. Its methods are safe for
// concurrent use. One snapshot is loaded at a time.
type Agent struct {
	o      Options
	folder *folder
	puller *puller
	ctx    context.Context // of all loads; cancelled by Close
	cancel context.CancelFunc
	loads  errgroup.Group
	busy   chan struct{} // held by whoever asks the publisher

	mu     sync.Mutex
	closed bool
	job    *job   // the last
	way    string // into the server, as it was seen last

	// Behind busy.
	run       string
	publisher bridge.Publisher // run's; nil before the first load
	live      bridge.Snapshot  // what was loaded last; its Dir is "" before
}

// New opens the folder, locks it and removes what killed agents left half-way.
// It sends nothing. The caller closes the agent.
func New(o Options) (*Agent, error) {
	if o.Keep == 0 {
		o.Keep = 2
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	if o.Dir == "" || o.Trainer == nil || o.Open == nil || o.Keep < 2 {
		return nil, fmt.Errorf("bridge/agent: needs Dir, Trainer, Open and Keep ≥ 2, which is %d", o.Keep)
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	a := &Agent{o: o, folder: f, busy: make(chan struct{}, 1), puller: &puller{trainer: o.Trainer, folder: f, stall: o.Stall, retry: o.Retry}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a, nil
}

// Close gives up a load under way, which leaves the server as whole as it can,
// waits for its end and unlocks the folder.
func (a *Agent) Close() error {
	a.mu.Lock()
	closed := a.closed
	a.closed = true
	a.mu.Unlock()
	if closed {
		return nil
	}
	a.cancel()
	return errors.Join(a.loads.Wait(), a.folder.close())
}

// errClosed answers what comes after Close.
var errClosed = errors.New("the agent is being stopped")

// hold waits for its turn with the publisher.
func (a *Agent) hold(ctx context.Context) (release func(), err error) {
	select {
	case a.busy <- struct{}{}:
		return func() { <-a.busy }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stillLive asks whether the server shows what run's version is; an agent that
// has loaded nothing since its start has nothing to hold it against.
func (a *Agent) stillLive(ctx context.Context, run string, version int64) error {
	release, err := a.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if a.publisher == nil || a.live.Dir == "" {
		return nil
	}
	if a.run != run || a.live.Version != version {
		return &bridge.CanaryError{Version: version, Part: bridge.PartIdle,
			Seen: fmt.Sprintf("its agent has loaded run %s's version %d since then: two runs must not share a server", a.run, a.live.Version)}
	}
	if w, ok := a.publisher.(bridge.Watcher); ok {
		return w.StillLive(ctx)
	}
	return nil
}

// checksums are nil without a load, or where the publisher knows none.
func (a *Agent) checksums(ctx context.Context) (sums map[string]string, hidden int, err error) {
	release, err := a.hold(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if c, ok := a.publisher.(bridge.Checksummer); ok {
		return c.Checksums(ctx)
	}
	return nil, 0, nil
}

// lookLimit bounds how long a status waits for the server.
const lookLimit = 10 * time.Second

// status never waits for a load. What was loaded last is unknown while one is
// under way, and the server is left alone: the way is that of the status before.
func (a *Agent) status(ctx context.Context) (s Status, err error) {
	s = Status{Server: a.o.Server, Trainer: a.o.Trainer.URL(), Dir: a.folder.dir, Keep: a.o.Keep}
	select {
	case a.busy <- struct{}{}:
		s.Run, s.Version = a.run, a.live.Version
		<-a.busy
		s.Way, s.Fault = a.look(ctx)
	default:
		s.Loading = true
		a.mu.Lock()
		s.Way = a.way
		a.mu.Unlock()
	}
	s.Have, err = a.folder.complete()
	return s, err
}

// look asks the server for the way into it.
func (a *Agent) look(ctx context.Context) (way string, f *Fault) {
	if a.o.Look == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, &endpoint.TimeoutError{After: lookLimit})
	defer cancel()
	way, err := a.o.Look(ctx)
	if err != nil {
		return "", faultOf(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.way = way
	return way, nil
}
