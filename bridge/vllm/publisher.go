// Package vllm loads snapshots into a vLLM server in development mode over HTTP.
// There are several ways, see [Ways]: the server reads the snapshot's own folder
// ([WayFiles]), or the folder that it was started with, whose files are replaced
// ([WayInPlace], for those before 0.18); or the bytes are sent to it
// ([WayTransfer], [WayNCCL]). All go through [Publisher.Load], which pauses the
// server and heals it after a failure.
//
// Deliberately absent: CUDA IPC, the calls to NCCL itself ([Communicator]), the
// meeting by a TCPStore that NCCL before 0.30 needs, sleep levels and LoRA.
package vllm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

var (
	_ bridge.Publisher   = (*Publisher)(nil)
	_ bridge.CacheProber = (*Publisher)(nil)
	_ bridge.Checksummer = (*Publisher)(nil)
	_ bridge.Watcher     = (*Publisher)(nil)
)

// callLimit bounds one attempt of every call but the pause and the reload.
const callLimit = time.Minute

// Options are a Publisher's settings. The first four are needed.
type Options struct {
	// Model is the served name, for probes of the prefix cache.
	Model string
	// Run makes the tags that the server shows for its weights unique: RUN-VERSION.
	Run string
	// Want lists the tensors of the model that the server was started with.
	Want []bridge.Tensor
	// Inspector reads a snapshot's tensors.
	Inspector bridge.Inspector
	// Sync is the way in which weights are loaded; "" is the best that the server offers.
	Sync string
	// Open opens a snapshot's weights, for the ways that send them; nil has none of them.
	Open func(dir string) (Weights, error)
	// Listen is this machine's address at which the server's workers fetch the
	// weights ([WayTransfer]); "" is the loopback one, and only for servers there.
	// The bytes are not encrypted, and nobody gets them without a token that the
	// server is told.
	Listen string
	// NCCL is the trainer's end of [WayNCCL].
	NCCL Communicator
	// Root is where this machine has the folder that the server was started with
	// ([WayInPlace]); "" is the server's own word for it.
	Root string
	// Protect is a folder that is never written to: the run's own model.
	Protect string
	// Recovery bounds the attempt to leave the server usable after a failed or
	// cancelled load; 0 is one minute.
	Recovery time.Duration
}

// Publisher is bridge.Publisher for one vLLM server. One method at a time.
type Publisher struct {
	e *endpoint.Endpoint
	o Options
	// way and pauseTarget are chosen before the first load and again after a restart; nil and "" until then.
	way         way
	pauseTarget string
	tag         string          // what the server must show; "" before the first load or where it shows none
	good        bridge.Snapshot // the last that was loaded; its Dir is "" before
}

// New makes a Publisher; it sends nothing. The caller keeps the endpoint.
func New(e *endpoint.Endpoint, o Options) (*Publisher, error) {
	if e == nil || o.Model == "" || o.Run == "" || len(o.Want) == 0 || o.Inspector == nil {
		return nil, errors.New("bridge/vllm: needs an endpoint, Model, Run, Want and Inspector")
	}
	switch {
	case !slices.Contains([]string{"", WayFiles, WayInPlace, WayTransfer, WayNCCL}, o.Sync):
		return nil, fmt.Errorf("--sync %s: a vLLM is loaded by %s, %s, %s or %s", o.Sync, WayFiles, WayInPlace, WayTransfer, WayNCCL)
	case o.Sync == WayNCCL && o.NCCL == nil:
		return nil, errNoNCCL
	case (o.Sync == WayTransfer || o.Sync == WayNCCL) && o.Open == nil:
		return nil, fmt.Errorf("bridge/vllm: --sync %s needs Open", o.Sync)
	}
	if o.Recovery == 0 {
		o.Recovery = time.Minute
	}
	return &Publisher{e: e, o: o}, nil
}

// Load implements bridge.Publisher.
//
// The snapshot is checked before the server is asked: vLLM takes a folder that
// lacks tensors without an error. Then: pause (waits for requests that run,
// and empties the prefix cache), the weights, the version's tag,
// reset_prefix_cache, resume. Before the first load, and after a restart, the
// server is asked what it can do.
//
// A failed reload leaves vLLM's model half-empty, and the next generation
// would end the server; a good reload before that heals it. So a failure is
// answered at once with the same snapshot, then with the one before, and only
// with whole weights is the server resumed. If neither can be loaded it stays
// paused, so that requests wait instead of killing it, and the error says so.
// A cancelled ctx is treated the same way, in a context of its own that ends
// after Options.Recovery.
//
// Only ctx bounds the pause and the reload, which take as long as other
// people's requests and the model's size make them. An attempt of any other
// call may take a minute.
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
	if err := p.choose(ctx); err != nil {
		return err
	}
	if err := p.pause(ctx); err != nil {
		return p.healer().AfterPause(ctx, err)
	}
	if err := p.reloadTwice(ctx, s); err != nil {
		return p.recover(ctx, s, err)
	}
	p.good, p.tag = s, ""
	tag, err := p.setTag(ctx, s)
	if err == nil {
		err = p.resetCache(ctx)
	}
	// The weights are whole, whatever else failed: nobody shall wait for them any longer.
	if resumed := p.resume(ctx); err == nil {
		err = resumed
	}
	if err != nil {
		return err
	}
	p.tag = tag
	return p.StillLive(ctx)
}

// StillLive implements bridge.Watcher: the server must show the tag that it was
// given last. It tells once: the next load, of a bridge that starts again, may
// put it right. A server older than vLLM 0.30 shows none, and passes.
func (p *Publisher) StillLive(ctx context.Context) error {
	if p.tag == "" {
		return nil
	}
	shown, err := p.shownTag(ctx)
	if err != nil || shown == p.tag {
		return err
	}
	want := p.tag
	p.tag, p.way = "", nil // it may have been started as another version
	return &bridge.CanaryError{
		Server: p.e.URL(), Version: p.good.Version, Part: bridge.PartIdle,
		Seen: fmt.Sprintf("it shows weights %q where %q was loaded: it was restarted, or somebody else loads weights into it; what was sampled since then is not version %d's", shown, want, p.good.Version),
	}
}

// pause stops the server's scheduler when no request runs any more. Nothing of
// ours runs between two steps; of others', wait lets each finish with the
// weights that it began with (abort would lose it, keep would mix weights).
func (p *Publisher) pause(ctx context.Context) error {
	err := within(ctx, 0, p.e, http.MethodPost, p.pauseTarget, nil, nil) // others' requests may take long
	if endpoint.Missing(err) {
		return p.noDevMode("/pause")
	}
	return err
}

func (p *Publisher) noDevMode(route string) error {
	return &bridge.UnsupportedError{
		Server: p.e.URL(), What: "has no " + route,
		Hint: "start vLLM 0.18 or later with VLLM_SERVER_DEV_MODE=1, on a loopback or private address (these routes are not protected by the API key)",
	}
}

func (p *Publisher) reloadTwice(ctx context.Context, s bridge.Snapshot) error {
	err := p.way.reload(ctx, s)
	var lost carrierError
	if err == nil || ctx.Err() != nil || endpoint.StatusOf(err) < 500 && !errors.As(err, &lost) {
		return err
	}
	return bridge.SecondTry(err, p.way.reload(ctx, s))
}

func (p *Publisher) resetCache(ctx context.Context) error {
	var reply struct {
		Success bool `json:"success"`
	}
	if err := p.do(ctx, http.MethodPost, "/reset_prefix_cache", nil, &reply); err != nil {
		return err
	}
	if !reply.Success {
		return errors.New("the prefix cache was not emptied, as requests are running")
	}
	return nil
}

// resume lets requests go on; it outlives ctx.
func (p *Publisher) resume(ctx context.Context) error {
	ctx, cancel := bridge.Detached(ctx, p.o.Recovery)
	defer cancel()
	return p.do(ctx, http.MethodPost, "/resume", nil, nil)
}

func (p *Publisher) resumeOnce(ctx context.Context) error {
	return p.e.Do(ctx, http.MethodPost, "/resume", nil, nil)
}

// do is [ask] of the publisher's server.
func (p *Publisher) do(ctx context.Context, method, path string, in, out any) error {
	return ask(ctx, p.e, method, path, in, out)
}
