package vllm

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/justrl/justrl/bridge"
)

// way is one way of getting a snapshot's weights into a paused server.
type way interface {
	// reload has the server take all of s's weights. After an error the model may
	// be half loaded, and a further reload, of s or of another, begins anew. A
	// *bridge.UnsupportedError means that nothing was touched.
	reload(ctx context.Context, s bridge.Snapshot) error
}

// choose probes the server and picks the way, once; a server that was
// restarted may be another and is asked again.
func (p *Publisher) choose(ctx context.Context) error {
	if p.way != nil {
		return nil
	}
	f, err := probe(ctx, p.e)
	if err != nil {
		return err
	}
	w, err := p.wayOf(f)
	if err == nil {
		p.way, p.pauseTarget = w, f.pauseTarget()
	}
	return err
}

func (p *Publisher) wayOf(f features) (way, error) {
	sync := p.o.Sync
	if sync == "" {
		sync = f.ways()[0]
		if sync == WayTransfer && (p.o.Open == nil || p.o.Listen == "" && !p.e.Loopback()) { // it could not reach us
			sync = f.ways()[1]
		}
	}
	cannot := func(what, hint string) (way, error) {
		return nil, &bridge.UnsupportedError{Server: p.e.URL(), What: what, Hint: hint}
	}
	switch sync {
	case WayInPlace:
		return &inPlace{p: p, named: f.takesPath()}, nil
	case WayTransfer:
		if f.engine != tcpEngine {
			return cannot("was not started for --sync transfer", "start vLLM 0.22 or later with scripts/vllm-plugin on its PYTHONPATH and --weight-transfer-config '{\"backend\":\"justrl_tcp\"}'")
		}
		if p.o.Listen == "" && !p.e.Loopback() {
			return cannot("is on another machine", "give the address of this one at which it can fetch the weights, or use --sync files")
		}
		return newTransfer(p, f, &tcp{host: p.o.Listen}), nil
	case WayNCCL:
		if f.engine != ncclEngine || !f.has("/weight_info", 30) {
			return cannot("was not started for --sync nccl", "start vLLM 0.30 or later with --weight-transfer-config '{\"backend\":\"nccl\"}'")
		}
		return newTransfer(p, f, &nccl{comm: p.o.NCCL, chunk: ncclChunk}), nil
	}
	if !f.takesPath() {
		return cannot("is too old to reload from a folder that is named", "use --sync in-place, or vLLM 0.18 or later")
	}
	return files{p}, nil
}

// files has the server read the snapshot's own folder.
type files struct{ p *Publisher }

func (w files) reload(ctx context.Context, s bridge.Snapshot) error {
	err := w.p.reloadWeights(ctx, s.Dir)
	switch {
	case err != nil && strings.Contains(err.Error(), "unexpected keyword argument 'weights_path'"):
		return &bridge.UnsupportedError{Server: w.p.e.URL(), What: "cannot reload from a folder", Hint: "use --sync in-place, or vLLM 0.18 or later"}
	case err != nil && strings.Contains(err.Error(), "Repo id must"): // transformers took the path for a model's name
		return fmt.Errorf("%w: the server does not see the folder %s; put publish.dir on a path that it reads too", err, s.Dir)
	}
	return err
}

// reloadWeights has the server read a folder; "" is the one that it was started with.
func (p *Publisher) reloadWeights(ctx context.Context, path string) error {
	type kwargs struct {
		WeightsPath string `json:"weights_path"`
	}
	call := struct {
		Method string  `json:"method"`
		Kwargs *kwargs `json:"kwargs,omitempty"`
	}{Method: "reload_weights"}
	if path != "" {
		call.Kwargs = &kwargs{path}
	}
	err := p.e.Do(ctx, http.MethodPost, "/collective_rpc", call, nil)
	if absent(err) {
		return p.noDevMode("/collective_rpc")
	}
	return err
}
