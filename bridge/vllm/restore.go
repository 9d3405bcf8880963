package vllm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

// ownTag is what vLLM shows of weights that nobody has loaded.
const ownTag = "default"

// Restore has a server load the weights again that it was started with, which
// are at root: its own word for them, as /v1/models has it, a folder that it
// reads or a name on the Hub. Like a load it pauses the server, empties the
// prefix cache, and resumes; ctx bounds it. It also heals a server that a failed
// load has left paused. On an error the server may be paused and its weights
// may be broken.
func Restore(ctx context.Context, e *endpoint.Endpoint, root string) error {
	fail := func(err error) error {
		return fmt.Errorf("load its own weights into %s: %w", e, err)
	}
	if root == "" {
		return fail(errors.New("it does not say where they are"))
	}
	f, err := probe(ctx, e)
	if err != nil {
		return fail(err)
	}
	p := &Publisher{e: e, o: Options{Recovery: time.Minute}, pauseTarget: f.pauseTarget()}
	p.way = files{p}
	if err := p.pause(ctx); err != nil {
		return fail(p.healer().AfterPause(ctx, err))
	}
	if err := p.reloadTwice(ctx, bridge.Snapshot{Dir: root}); err != nil {
		return fail(fmt.Errorf("%w; %s", err, leftPaused))
	}
	err = p.do(ctx, http.MethodPost, "/update_weight_version", map[string]string{"new_version": ownTag}, nil)
	if endpoint.StatusOf(err) == http.StatusNotFound { // older than vLLM 0.30
		err = nil
	}
	err = errors.Join(err, p.resetCache(ctx), p.resume(ctx)) // the weights are whole: nobody shall wait
	if err != nil {
		return fail(err)
	}
	return nil
}
