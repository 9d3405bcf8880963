package vllm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
)

// transfer sends weights over vLLM's weight-transfer routes: init, start, update
// and finish, whose update lasts as long as its bytes are on their way. Every
// load begins with an init: after one that failed half-way nobody knows how much
// of the stream the workers have read, and between two loads nothing stays open.
type transfer struct {
	p       *Publisher
	carrier Carrier
	framed  bool // has start and finish: 0.22 and later
}

func newTransfer(p *Publisher, f features, c Carrier) *transfer {
	return &transfer{p: p, carrier: c, framed: f.has(startRoute, 22)}
}

// carrierError is a failure of the data plane: worth another try.
type carrierError struct{ error }

func (e carrierError) Unwrap() error { return e.error }

func (w *transfer) reload(ctx context.Context, s bridge.Snapshot) (err error) {
	weights, err := w.p.o.Open(s.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, weights.Close()) }()
	info, tensors, err := w.p.tensors(s.Dir, weights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.carrier.Close()) }()
	if err := w.join(ctx); err != nil {
		return fmt.Errorf("meet the server's workers: %w", err)
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.update(ctx, info, tensors); err != nil {
		return err
	}
	if !w.framed {
		return nil
	}
	return w.post(ctx, finishRoute, map[string]string{"weight_version": w.p.tagOf(s)}) // read by 0.30 and later
}

// join has the server's workers meet the carrier.
func (w *transfer) join(ctx context.Context) error {
	workers, err := w.p.worldSize(ctx)
	if err != nil {
		return err
	}
	info, err := w.carrier.Init(ctx, workers)
	if err != nil {
		return err
	}
	g, group := errgroup.WithContext(ctx)
	g.Go(func() error { return w.post(group, initRoute, map[string]any{"init_info": info}) })
	g.Go(func() error {
		if err := w.carrier.Join(group); err != nil {
			return carrierError{err}
		}
		return nil
	})
	return g.Wait()
}

// start opens the frame of a load. One that a lost trainer has left open is
// closed first: by an update that must fail, and where that does not do it by a finish.
func (w *transfer) start(ctx context.Context) error {
	if !w.framed {
		return nil
	}
	start := func() error { return w.post(ctx, startRoute, map[string]bool{"is_checkpoint_format": true}) } // 0.22 needs the body, no other reads it
	err := start()
	for _, end := range []struct {
		route string
		body  any
	}{{updateRoute, map[string]any{"update_info": map[string]any{}}}, {finishRoute, nil}} {
		if err == nil || !strings.Contains(err.Error(), "already active") {
			break
		}
		if err := w.post(ctx, end.route, end.body); endpoint.StatusOf(err) == 0 && err != nil {
			return err
		}
		err = start()
	}
	return err
}

// update announces the tensors and sends them meanwhile.
func (w *transfer) update(ctx context.Context, info updateInfo, tensors []Tensor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sending, stop := context.WithCancel(ctx)
	defer stop()
	answered := make(chan struct{})
	var sent error
	var g errgroup.Group
	g.Go(func() error {
		if sent = w.carrier.Send(sending, tensors); sent == nil {
			return nil
		}
		sent = errors.Join(sent, w.carrier.Close())     // so that the workers notice,
		timer := time.AfterFunc(w.p.o.Recovery, cancel) // and the server answers
		<-answered
		timer.Stop()
		return nil
	})
	asked := w.post(ctx, updateRoute, map[string]any{"update_info": info})
	if asked != nil {
		stop()
	}
	close(answered)
	_ = g.Wait() // its error is sent
	switch {
	case asked == nil && sent == nil:
		return nil
	case sent == nil || errors.Is(sent, context.Canceled) && asked != nil: // stopped for the server's sake
		return asked
	case asked == nil:
		return carrierError{sent}
	}
	return carrierError{fmt.Errorf("%w (%w)", sent, asked)}
}

// post sends a call that must not be repeated by itself; only ctx bounds it.
func (w *transfer) post(ctx context.Context, route string, body any) error {
	return w.p.e.Do(ctx, http.MethodPost, route, body, nil)
}

// worldSize is how many workers the server has; 1 where it does not say.
func (p *Publisher) worldSize(ctx context.Context) (int, error) {
	var reply struct {
		WorldSize int `json:"world_size"`
	}
	err := p.do(ctx, http.MethodGet, "/get_world_size", nil, &reply)
	if err != nil && !absent(err) {
		return 0, err
	}
	return max(reply.WorldSize, 1), nil
}
