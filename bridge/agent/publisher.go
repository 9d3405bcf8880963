package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
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

// PublisherOptions are a Publisher's settings. All are needed but Recovery and Retry.
type PublisherOptions struct {
	Run    string // the id that bridge/share serves the snapshots under
	Server string // the inference server's address, for errors
	// Want lists the tensors of the model that the server was started with.
	Want      []bridge.Tensor
	Inspector bridge.Inspector
	// Prober asks the server for tokens on the route that rollouts come from.
	Prober bridge.CacheProber
	// Recovery bounds how long a load that is given up may take to end; 0 is two
	// minutes: the agent leaves the server whole, which takes a load.
	Recovery time.Duration
	// Retry is how long an agent that does not answer is waited for; it may be
	// restarting.
	Retry endpoint.Retry
}

// Publisher is bridge.Publisher for a server with an agent beside it. One method
// at a time.
type Publisher struct {
	e    *endpoint.Endpoint
	o    PublisherOptions
	live int64 // the version that was loaded last; -1 before
	last Report
}

// NewPublisher makes a Publisher; it sends nothing. The caller keeps the
// agent's endpoint.
func NewPublisher(e *endpoint.Endpoint, o PublisherOptions) (*Publisher, error) {
	if e == nil || o.Run == "" || len(o.Want) == 0 || o.Inspector == nil || o.Prober == nil {
		return nil, errors.New("bridge/agent: needs an endpoint, Run, Want, Inspector and Prober")
	}
	if o.Recovery == 0 {
		o.Recovery = 2 * time.Minute
	}
	return &Publisher{e: e, o: o, live: -1}, nil
}

// attemptLimit bounds one request; an agent answers within its Options.Wait.
const attemptLimit = time.Minute

// Load implements bridge.Publisher: it has the agent pull s from the trainer's
// share and load it, and waits. A connection that is lost meanwhile gives up
// nothing: the load is asked after again. When ctx ends, the agent is told to
// give up, which leaves the server with whole weights, and Load waits for that.
func (p *Publisher) Load(ctx context.Context, s bridge.Snapshot) error {
	if err := bridge.CheckSnapshot(s, p.o.Inspector, p.o.Want); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	p.last, p.live = Report{}, -1
	if err := p.load(ctx, Request{Attempt: rand.Text(), Run: p.o.Run, Version: s.Version, SHA256: s.SHA256}); err != nil {
		return fmt.Errorf("load weights version %d into %s: %w", s.Version, p.o.Server, err)
	}
	p.live = s.Version
	return nil
}

func (p *Publisher) load(ctx context.Context, r Request) error {
	for {
		var report Report
		if err := p.do(ctx, http.MethodPost, "/v1/load", r, &report); err != nil {
			if e := p.giveUp(ctx, r); e != nil {
				return fmt.Errorf("%w; the agent may still be at it (%w)", err, e)
			}
			return err
		}
		p.last = report
		switch {
		case report.Fault != nil:
			return report.Fault.error(p.e.URL(), p.o.Server)
		case report.State == StateLoaded:
			return nil
		case report.State != StatePulling && report.State != StateLoading:
			return &endpoint.ReplyError{Method: http.MethodPost, URL: p.e.URL() + "/v1/load", Err: fmt.Errorf("a load is %.40q: is this a justrl agent, of the same release?", report.State)}
		}
	}
}

// giveUp ends a load that nobody waits for any longer. Where the agent cannot be
// told either, it goes on by itself, to the same end as if it had been waited
// for; the next load gives it up.
func (p *Publisher) giveUp(ctx context.Context, r Request) error {
	if ctx.Err() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Recovery)
	defer cancel()
	var status *endpoint.StatusError
	err := p.e.Do(ctx, http.MethodDelete, "/v1/load/"+r.Attempt, nil, nil)
	if errors.As(err, &status) && status.Status == http.StatusNotFound { // it never came to a load
		return nil
	}
	return err
}

// Last is what became of the last load: how many bytes it took, and how long.
func (p *Publisher) Last() Report { return p.last }

// StillLive implements bridge.Watcher: it asks the agent, which asks the server.
func (p *Publisher) StillLive(ctx context.Context) error {
	if p.live < 0 {
		return nil
	}
	var report Report
	if err := p.do(ctx, http.MethodGet, "/v1/live?run="+p.o.Run+"&version="+strconv.FormatInt(p.live, 10), nil, &report); err != nil {
		return err
	}
	if report.Fault == nil {
		return nil
	}
	return report.Fault.error(p.e.URL(), p.o.Server)
}

// Checksums implements bridge.Checksummer.
func (p *Publisher) Checksums(ctx context.Context) (sums map[string]string, hidden int, err error) {
	var reply Sums
	if err := p.do(ctx, http.MethodGet, "/v1/checksums", nil, &reply); err != nil {
		return nil, 0, err
	}
	if reply.Fault != nil {
		return nil, 0, reply.Fault.error(p.e.URL(), p.o.Server)
	}
	return reply.Checksums, reply.Hidden, nil
}

// Next implements bridge.CacheProber: it asks the server itself, as rollouts do.
func (p *Publisher) Next(ctx context.Context, prompt []int32) (int32, float32, error) {
	return p.o.Prober.Next(ctx, prompt)
}

// AskStatus asks an agent what it is. An agent that cannot load its server gives
// its status too, and an [*Error] that says why. What answers and is none gives an
// *endpoint.ReplyError.
func AskStatus(ctx context.Context, e *endpoint.Endpoint) (s Status, err error) {
	err = e.Do(ctx, http.MethodGet, "/v1/status", nil, &s)
	var reply *endpoint.ReplyError
	switch {
	case endpoint.Missing(err) || errors.As(err, &reply) && !endpoint.Retryable(err) || err == nil && s.Dir == "":
		return s, &endpoint.ReplyError{Method: http.MethodGet, URL: e.URL() + "/v1/status", Err: errors.New("what answers there is no justrl agent: check the address")}
	case err == nil && s.Fault != nil:
		err = s.Fault.error(e.URL(), s.Server)
	}
	return s, err
}

func (p *Publisher) do(ctx context.Context, method, path string, in, out any) error {
	r := p.o.Retry
	r.Attempt = attemptLimit
	return r.Do(ctx, func(ctx context.Context) error { return p.e.Do(ctx, method, path, in, out) })
}
