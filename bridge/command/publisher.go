// Package command loads snapshots into a deployment that has no way of its own
// to take new weights, by running a program of the user's: a restart of
// llama-server on a converted file, a restart of vLLM, a call of an operator's
// API. What the program did is for the canary to judge.
//
// Deliberately absent: a shell (the program and its arguments are a list), a
// pause (the program stops the server as it sees fit), and any guess at what the
// server serves.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/justrl/justrl/bridge"
)

var _ bridge.Publisher = (*Publisher)(nil)

// Defaults of Options.
const (
	DefaultLimit    = 10 * time.Minute
	DefaultPatience = 5 * time.Minute
	DefaultPoll     = time.Second
)

// Options are a Publisher's settings. Argv, Server, Want, Inspector and Ready are needed.
type Options struct {
	// Argv is the program and its arguments. In each of them {dir}, {version}
	// and {url} stand for the snapshot's folder, its version and the server's
	// address. The program has them in its environment too, as
	// JUSTRL_SNAPSHOT_DIR, JUSTRL_SNAPSHOT_VERSION and JUSTRL_SERVER, beside what
	// this process has, its keys and tokens left out.
	//
	// It must end when the old weights are out of reach: once it has ended with
	// status 0, the first answer of the server counts as the new weights'. A
	// server that it leaves running must not write to its standard error, which
	// goes to a file that is removed.
	Argv []string
	// Server is the address, for {url} and for errors.
	Server string
	// Want lists the tensors of the model that is served.
	Want []bridge.Tensor
	// Inspector reads a snapshot's tensors.
	Inspector bridge.Inspector
	// Ready is nil when the server answers as it should.
	Ready func(ctx context.Context) error
	// Limit bounds a run of the program; 0 is 10 minutes.
	Limit time.Duration
	// Patience bounds the time from its end to the server's first answer; 0 is 5 minutes.
	Patience time.Duration
	// Poll is the time between two calls of Ready; 0 is a second.
	Poll time.Duration
	// Recovery bounds the attempt to leave the server usable after a failed or
	// cancelled load; 0 is Limit + Patience.
	Recovery time.Duration
}

// Publisher is bridge.Publisher for one server. One method at a time.
type Publisher struct {
	o    Options
	good bridge.Snapshot // the last that was loaded; its Dir is "" before
}

// New makes a Publisher; it runs nothing. A program that cannot be found is an error.
func New(o Options) (*Publisher, error) {
	if len(o.Argv) == 0 || o.Argv[0] == "" || o.Server == "" || len(o.Want) == 0 || o.Inspector == nil || o.Ready == nil {
		return nil, errors.New("bridge/command: needs a program, Server, Want, Inspector and Ready")
	}
	for name, d := range map[string]time.Duration{"Limit": o.Limit, "Patience": o.Patience, "Poll": o.Poll, "Recovery": o.Recovery} {
		if d < 0 {
			return nil, fmt.Errorf("bridge/command: %s is negative", name)
		}
	}
	if _, err := exec.LookPath(o.Argv[0]); err != nil {
		return nil, fmt.Errorf("sync command: %w", err)
	}
	if err := checkPlaceholders(o.Argv); err != nil {
		return nil, fmt.Errorf("sync command: %w", err)
	}
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&o.Limit, DefaultLimit)
	def(&o.Patience, DefaultPatience)
	def(&o.Poll, DefaultPoll)
	def(&o.Recovery, o.Limit+o.Patience)
	return &Publisher{o: o}, nil
}

// Load implements bridge.Publisher. The snapshot is checked, the program runs,
// and the server is asked until it answers.
//
// A program that fails is run again at once; if it fails again, takes too long,
// or the server does not come back, it is run for the snapshot before, and the error says how
// the server is left. When ctx ends the program's process group is ended, and
// the same is done in a context of its own that ends after Options.Recovery.
func (p *Publisher) Load(ctx context.Context, s bridge.Snapshot) error {
	if err := bridge.CheckSnapshot(s, p.o.Inspector, p.o.Want); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	err := p.put(ctx, s)
	var failed *FailedError
	if errors.As(err, &failed) && !failed.Late {
		err = p.put(ctx, s)
	}
	if err == nil {
		p.good = s
		return nil
	}
	return fmt.Errorf("load weights version %d into %s: %w", s.Version, p.o.Server, p.recover(ctx, s, err))
}

// put runs the program for s and waits for the server.
func (p *Publisher) put(ctx context.Context, s bridge.Snapshot) error {
	if err := p.run(ctx, s); err != nil {
		return err
	}
	return p.await(ctx)
}

// await asks the server until it answers.
func (p *Publisher) await(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, p.o.Patience)
	defer cancel()
	tick := time.NewTicker(p.o.Poll)
	defer tick.Stop()
	for {
		err := p.o.Ready(limited)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-limited.Done():
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the server had not answered again: %w", context.Cause(ctx))
		case limited.Err() != nil:
			return fmt.Errorf("the server did not answer within %v of the command's end: %w", p.o.Patience, err)
		}
	}
}

// recover puts the server back on weights that were good.
func (p *Publisher) recover(ctx context.Context, s bridge.Snapshot, err error) error {
	try := []bridge.Snapshot{p.good}
	if ctx.Err() != nil { // nothing is known to be wrong with s
		try = append(try, s)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Recovery)
	defer cancel()
	for _, t := range try {
		if t.Dir == "" || p.put(ctx, t) != nil {
			continue
		}
		p.good = t
		return fmt.Errorf("%w; it has been put on version %d", err, t.Version)
	}
	p.good = bridge.Snapshot{}
	return fmt.Errorf("%w; what it serves now is not known: look at it", err)
}
