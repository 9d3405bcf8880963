package sglang

import (
	"context"
	"errors"
	"fmt"

	"github.com/justrl/justrl/bridge"
)

// afterPause undoes a pause that may have been made although its answer did not come.
func (p *Publisher) afterPause(ctx context.Context, err error) error {
	if errors.Is(err, bridge.ErrUnsupported) {
		return err
	}
	ctx, cancel := p.detached(ctx)
	defer cancel()
	resume := p.resume
	if unreachable(err) { // gone, most likely; but if only its answers were lost, it must not stay paused
		resume = p.resumeOnce
	}
	e := resume(ctx)
	if e == nil || unreachable(err) && unreachable(e) {
		return err
	}
	return fmt.Errorf("%w; it may be left paused (%w)", err, e)
}

// recover leaves the server usable after a load that failed or was given up.
func (p *Publisher) recover(ctx context.Context, s bridge.Snapshot, err error) error {
	blameless := ctx.Err() != nil || unreachable(err) // nothing is known to be wrong with s
	ctx, cancel := p.detached(ctx)
	defer cancel()
	try := []bridge.Snapshot{p.good}
	if blameless {
		try = append(try, s)
	}
	if errors.Is(err, bridge.ErrUnsupported) { // nothing was touched
		if e := p.resume(ctx); e != nil {
			return fmt.Errorf("%w; it is left paused (%w)", err, e)
		}
		return err
	}
	p.tag = ""
	for _, t := range try {
		if t.Dir == "" {
			continue
		}
		e := p.update(ctx, t.Dir, Tag(p.o.Run, t.Version))
		switch {
		case unreachable(e) && unreachable(err): // it is gone, and nothing is left to be resumed
			return err
		case unreachable(e):
			return fmt.Errorf("%w; then nothing could be put back (%w)", err, e)
		case e != nil:
			continue
		}
		p.good = t
		if e := p.resume(ctx); e != nil {
			return fmt.Errorf("%w; it is left paused (%w)", err, e)
		}
		return fmt.Errorf("%w; it has been put on version %d and resumed", err, t.Version)
	}
	p.good = bridge.Snapshot{}
	return fmt.Errorf("%w; %s", err, p.left())
}

// detached is a context for what must be tried although ctx may be over.
func (p *Publisher) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), p.o.Recovery)
}

// left says how a server is left whose weights may be broken.
func (p *Publisher) left() string {
	if p.unpaused {
		return "its weights may be broken and it cannot be paused: restart it"
	}
	return "it is left paused, as its weights may be broken: restart it"
}
