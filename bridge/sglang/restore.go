package sglang

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// ownTag is what SGLang shows of weights that nobody has loaded.
const ownTag = "default"

// Restore has a server load the weights again that it was started with, which
// are at root: its own word for them before anything was loaded (model_path). Like
// a load it pauses the server, empties the prefix cache, and lets it go on; ctx
// bounds it. It also heals a server that a failed load has left paused. On an
// error the server may be paused and its weights may be broken.
func Restore(ctx context.Context, e *endpoint.Endpoint, root string) error {
	fail := func(err error) error {
		return fmt.Errorf("load its own weights into %s: %w", e, err)
	}
	if root == "" {
		return fail(errors.New("it does not say where they are"))
	}
	p := &Publisher{e: e, o: Options{Recovery: time.Minute}}
	if err := p.pause(ctx); err != nil {
		return fail(p.healer().AfterPause(ctx, err))
	}
	err := p.update(ctx, root, ownTag)
	if endpoint.StatusOf(err) != 0 {
		err = p.update(ctx, root, ownTag)
	}
	if err != nil {
		return fail(fmt.Errorf("%w; %s", err, p.left()))
	}
	if err := errors.Join(p.flush(ctx), p.resume(ctx)); err != nil { // the weights are whole: nobody shall wait
		return fail(err)
	}
	return nil
}
