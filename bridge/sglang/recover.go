package sglang

import (
	"context"
	"errors"

	"github.com/justrl/justrl/bridge"
)

func (p *Publisher) healer() bridge.Healer {
	return bridge.Healer{
		Reload: func(ctx context.Context, s bridge.Snapshot) error {
			return p.update(ctx, s.Dir, Tag(p.o.Run, s.Version))
		},
		Resume: p.resume, ResumeOnce: p.resumeOnce, Left: p.left(), Limit: p.o.Recovery,
	}
}

// recover leaves the server usable after a load that failed or was given up.
func (p *Publisher) recover(ctx context.Context, s bridge.Snapshot, err error) error {
	if !errors.Is(err, bridge.ErrUnsupported) {
		p.tag = ""
	}
	p.good, err = p.healer().AfterLoad(ctx, p.good, s, err)
	return err
}

// left says how a server is left whose weights may be broken.
func (p *Publisher) left() string {
	if p.unpaused {
		return "its weights may be broken and it cannot be paused: restart it"
	}
	return "it is left paused, as its weights may be broken: restart it"
}
