package vllm

import (
	"context"
	"errors"

	"github.com/justrl/justrl/bridge"
)

const leftPaused = "it is left paused, as its weights may be broken: restart it"

func (p *Publisher) healer() bridge.Healer {
	return bridge.Healer{
		Reload: func(ctx context.Context, s bridge.Snapshot) error { return p.way.reload(ctx, s) },
		Resume: p.resume, ResumeOnce: p.resumeOnce, Left: leftPaused, Limit: p.o.Recovery,
	}
}

// recover leaves the server usable after a reload that failed or was given up.
func (p *Publisher) recover(ctx context.Context, s bridge.Snapshot, err error) error {
	if !errors.Is(err, bridge.ErrUnsupported) {
		p.tag = ""
	}
	p.good, err = p.healer().AfterLoad(ctx, p.good, s, err)
	return err
}
