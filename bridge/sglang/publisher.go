// Package sglang loads snapshots into an SGLang server over HTTP, from a
// folder that the server reads itself (update_weights_from_disk).
//
// Deliberately absent: weights from tensors, over NCCL or CUDA IPC, memory
// release, LoRA, and checksums: SGLang's weights_checker compares a server
// with itself.
package sglang

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

var (
	_ bridge.Publisher   = (*Publisher)(nil)
	_ bridge.CacheProber = (*Publisher)(nil)
	_ bridge.Watcher     = (*Publisher)(nil)
)

// callLimit bounds one attempt of every call but the pause and the load.
const callLimit = time.Minute

// Options are a Publisher's settings. All are needed but Recovery.
type Options struct {
	// Run makes the weight versions that the server shows unique: [Tag].
	Run string
	// Want lists the tensors of the model that the server was started with.
	Want []bridge.Tensor
	// Inspector reads a snapshot's tensors.
	Inspector bridge.Inspector
	// Recovery bounds the attempt to leave the server usable after a failed or
	// cancelled load; 0 is one minute.
	Recovery time.Duration
}

// Publisher is bridge.Publisher for one SGLang server. One method at a time.
type Publisher struct {
	e    *endpoint.Endpoint
	o    Options
	tag  string          // what the server must show; "" before the first load or where it shows none
	good bridge.Snapshot // the last that was loaded; its Dir is "" before
	// unpaused tells that the server has no pause.
	unpaused bool
}

// New makes a Publisher; it sends nothing. The caller keeps the endpoint.
func New(e *endpoint.Endpoint, o Options) (*Publisher, error) {
	if e == nil || o.Run == "" || len(o.Want) == 0 || o.Inspector == nil {
		return nil, errors.New("bridge/sglang: needs an endpoint, Run, Want and Inspector")
	}
	if o.Recovery == 0 {
		o.Recovery = time.Minute
	}
	return &Publisher{e: e, o: o}, nil
}

// Tag is the weight_version of a version's weights, which SGLang shows and
// reports with every answer.
func Tag(run string, version int64) string { return fmt.Sprintf("%s-%d", run, version) }

// Load implements bridge.Publisher.
//
// The snapshot is checked before the server is asked. Then: pause_generation,
// update_weights_from_disk with the version's tag, flush_cache,
// continue_generation.
//
// The pause aborts what runs, which at that time is other people's: an answer
// that is cut says so, while SGLang's other modes would go on with it under the
// new weights, in silence. A server without that route (before 0.5.2) waits for
// its requests by itself while it loads, and then a load that failed is not
// fenced by a pause: the error is all that there is.
//
// SGLang goes back to its own files after a load that failed, or says that it
// does; whether they are whole is not known. So a failure is answered at once
// with the same snapshot, then with the one before, and only with whole weights
// does the server go on. If neither can be loaded it stays paused, and the
// error says so. A cancelled ctx is treated the same way, in a context of its
// own that ends after Options.Recovery.
//
// Only ctx bounds the pause and the load, which take as long as the model's
// size makes them. An attempt of any other call may take a minute.
func (p *Publisher) Load(ctx context.Context, s bridge.Snapshot) error {
	if err := bridge.CheckSnapshot(s, p.o.Inspector, p.o.Want); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := p.load(ctx, s); err != nil {
		return fmt.Errorf("load weights version %d into %s: %w", s.Version, p.e, err)
	}
	return nil
}

func (p *Publisher) load(ctx context.Context, s bridge.Snapshot) error {
	if err := p.StillLive(ctx); err != nil {
		return err
	}
	if err := p.pause(ctx); err != nil {
		return p.healer().AfterPause(ctx, err)
	}
	if err := p.updateTwice(ctx, s); err != nil {
		return p.recover(ctx, s, err)
	}
	p.good, p.tag = s, ""
	err := p.flush(ctx)
	// The weights are whole, whatever else failed: nobody shall wait for them any longer.
	if resumed := p.resume(ctx); err == nil {
		err = resumed
	}
	if err != nil {
		return err
	}
	p.tag = Tag(p.o.Run, s.Version)
	return p.StillLive(ctx)
}

// StillLive implements bridge.Watcher: the server must show the tag that it was
// given last. It tells once: the next load, of a bridge that starts again, may
// put it right. A server that shows none passes.
func (p *Publisher) StillLive(ctx context.Context) error {
	if p.tag == "" {
		return nil
	}
	shown, err := p.shownTag(ctx)
	if err != nil || shown == p.tag {
		return err
	}
	want := p.tag
	p.tag = ""
	if shown == "" {
		return nil
	}
	return &bridge.CanaryError{
		Server: p.e.URL(), Version: p.good.Version, Part: bridge.PartIdle,
		Seen: fmt.Sprintf("it shows weights %q where %q was loaded: it was restarted, or somebody else loads weights into it; what was sampled since then is not version %d's", shown, want, p.good.Version),
	}
}

// shownTag is weight_version; "" of a server that has none.
func (p *Publisher) shownTag(ctx context.Context) (string, error) {
	var reply struct {
		WeightVersion string `json:"weight_version"`
	}
	err := p.do(ctx, http.MethodGet, "/get_model_info", nil, &reply)
	if endpoint.Missing(err) { // its name in later versions
		err = p.do(ctx, http.MethodGet, "/model_info", nil, &reply)
	}
	return reply.WeightVersion, err
}

// pause stops the flow of tokens. A server without the route has nothing to be
// paused: its load waits for requests by itself.
func (p *Publisher) pause(ctx context.Context) error {
	err := p.within(ctx, 0, http.MethodPost, "/pause_generation", map[string]string{"mode": "abort"}, nil)
	if p.unpaused = endpoint.Missing(err); p.unpaused {
		return nil
	}
	return err
}

// updateTwice loads s, and once more if that fails.
func (p *Publisher) updateTwice(ctx context.Context, s bridge.Snapshot) error {
	err := p.update(ctx, s.Dir, Tag(p.o.Run, s.Version))
	if endpoint.StatusOf(err) == 0 || errors.Is(err, bridge.ErrUnsupported) {
		return err
	}
	return bridge.SecondTry(err, p.update(ctx, s.Dir, Tag(p.o.Run, s.Version)))
}

func (p *Publisher) update(ctx context.Context, dir, tag string) error {
	var reply struct {
		Success *bool  `json:"success"`
		Message string `json:"message"`
	}
	err := p.e.Do(ctx, http.MethodPost, "/update_weights_from_disk", map[string]any{
		"model_path": dir, "weight_version": tag, "abort_all_requests": false, "flush_cache": true,
	}, &reply)
	switch {
	case endpoint.Missing(err):
		return &bridge.UnsupportedError{
			Server: p.e.URL(), What: "has no /update_weights_from_disk",
			Hint: "address SGLang itself, not a gateway in front of it, or load the weights with a command of your own (--sync command)",
		}
	case err == nil && (reply.Success == nil || !*reply.Success):
		return &endpoint.ReplyError{
			Method: http.MethodPost, URL: p.e.URL() + "/update_weights_from_disk",
			Err: fmt.Errorf("it does not say that it loaded the weights: %q", reply.Message),
		}
	case err != nil && (strings.Contains(err.Error(), "Repo id must") || strings.Contains(err.Error(), "Can't load the configuration")):
		return fmt.Errorf("%w: the server does not see the folder %s; put publish.dir on a path that it reads too", err, dir)
	}
	return err
}

func (p *Publisher) flush(ctx context.Context) error {
	err := p.do(ctx, http.MethodPost, "/flush_cache", nil, nil)
	if endpoint.StatusOf(err) == http.StatusBadRequest {
		return fmt.Errorf("the prefix cache was not emptied, as requests are running: %w", err)
	}
	return err
}

// resume lets requests go on; it outlives ctx.
func (p *Publisher) resume(ctx context.Context) error {
	ctx, cancel := bridge.Detached(ctx, p.o.Recovery)
	defer cancel()
	return p.resumed(p.do(ctx, http.MethodPost, "/continue_generation", struct{}{}, nil))
}

func (p *Publisher) resumeOnce(ctx context.Context) error {
	return p.resumed(p.e.Do(ctx, http.MethodPost, "/continue_generation", struct{}{}, nil))
}

func (p *Publisher) resumed(err error) error {
	if endpoint.Missing(err) { // there was no pause either
		return nil
	}
	return err
}

// do sends a request that a server in order answers at once, whatever the
// model's size; one attempt may take callLimit.
func (p *Publisher) do(ctx context.Context, method, path string, in, out any) error {
	return p.within(ctx, callLimit, method, path, in, out)
}

// within sends a request with a bound on one attempt, 0 for none but ctx's own;
// all that go through here can be sent again without harm.
func (p *Publisher) within(ctx context.Context, limit time.Duration, method, path string, in, out any) error {
	return endpoint.Retry{Tries: 4, Patience: 30 * time.Second, Attempt: limit}.Do(ctx, func(ctx context.Context) error {
		return p.e.Do(ctx, method, path, in, out)
	})
}
