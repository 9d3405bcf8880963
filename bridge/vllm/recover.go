package vllm

import (
	"context"
	"errors"
	"fmt"

	"github.com/justrl/justrl/bridge"
)

// afterPause undoes a pause that may have been made although its answer did not come.
func (p *Publisher) afterPause(ctx context.Context, err error) error {
	if unreachable(err) || errors.Is(err, bridge.ErrUnsupported) {
		return err
	}
	ctx, cancel := p.detached(ctx)
	defer cancel()
	if e := p.resume(ctx); e != nil {
		return fmt.Errorf("%w; it may be left paused (%w)", err, e)
	}
	return err
}

// recover leaves the server usable after a reload that failed or was given up.
func (p *Publisher) recover(ctx context.Context, s bridge.Snapshot, err error) error {
	if unreachable(err) {
		return err
	}
	cancelled := ctx.Err() != nil
	ctx, cancel := p.detached(ctx)
	defer cancel()
	try := []bridge.Snapshot{p.good}
	if cancelled { // nothing is wrong with s
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
		if t.Dir == "" || p.reload(ctx, t) != nil {
			continue
		}
		if e := p.resume(ctx); e != nil {
			return fmt.Errorf("%w; it is left paused (%w)", err, e)
		}
		return fmt.Errorf("%w; it has been put on version %d and resumed", err, t.Version)
	}
	p.good = bridge.Snapshot{}
	return fmt.Errorf("%w; it is left paused, as its weights may be broken: restart it", err)
}

// detached is a context for what must be tried although ctx may be over.
func (p *Publisher) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), p.o.Recovery)
}
