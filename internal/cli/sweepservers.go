package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
)

// deployments are the servers of a sweep; closing them ends the embedded one too.
func (w *sweeping) deployments() (map[*sweep.Server]sweep.Deployment, func() error, error) {
	out := map[*sweep.Server]sweep.Deployment{}
	var closers []func() error
	closeAll := func() (err error) {
		for _, c := range closers {
			err = errors.Join(err, c())
		}
		return err
	}
	trusted, err := trusting(w.c.String("ca-file"))
	if err != nil {
		return nil, nil, usage(err)
	}
	for _, s := range w.plan.Spec.Servers {
		if s.URL == sweep.Embedded {
			if !withTorch {
				_, err := openDecoder(embeddedOptions{}, 0) // whose error says where there is one
				return nil, nil, errors.Join(err, closeAll())
			}
			d := &embeddedDeployment{concurrency: s.Concurrency}
			out[s], closers = d, append(closers, d.Close)
			continue
		}
		key := ""
		if s.APIKeyEnv != "" {
			key = os.Getenv(s.APIKeyEnv)
		}
		e, err := endpoint.New(s.URL, endpoint.Options{APIKey: key, TLS: trusted, MaxConns: s.Concurrency + 16})
		if err != nil {
			return nil, nil, errors.Join(usage(err), closeAll())
		}
		out[s] = &vllmDeployment{e: e}
		closers = append(closers, func() error { e.Close(); return nil })
	}
	return out, closeAll, nil
}

// vllmDeployment is somebody's server.
type vllmDeployment struct {
	e         *endpoint.Endpoint
	found     evaluate.ServerInfo
	publisher *bridgevllm.Publisher // of the weights that were loaded last
	weights   string                // a hash of them
}

// Find implements [sweep.Deployment].
func (d *vllmDeployment) Find(ctx context.Context, served string) (*evaluate.Server, error) {
	s, err := evaluate.Find(ctx, d.e, served, probing)
	if err == nil {
		d.found = s.Info
	}
	return s, err
}

// Load implements [sweep.Deployment]. There is no trainer whose log-probs the
// canary could hold the server's against: what the server shows of itself, the
// weights' tag and checksums, has to do.
func (d *vllmDeployment) Load(ctx context.Context, m *sweep.Model) error {
	if d.publisher != nil && d.weights == m.Weights && d.publisher.StillLive(ctx) == nil {
		return nil
	}
	have, err := inspector{}.Tensors(m.Folder)
	if err != nil {
		return err
	}
	if err := d.fits(have); err != nil {
		return fmt.Errorf("%s does not fit %s, which was started with %s: %w", m.Folder, d.e, d.found.Root, err)
	}
	p, err := bridgevllm.New(d.e, bridgevllm.Options{Model: d.found.Model, Run: "sweep-" + m.Weights[:12], Want: have, Inspector: inspector{}})
	if err != nil {
		return err
	}
	before, _, err := p.Checksums(ctx)
	if err != nil {
		return err
	}
	was := d.weights
	d.publisher, d.weights = nil, ""
	if err := p.Load(ctx, bridge.Snapshot{Dir: m.Folder, Version: m.Version, SHA256: m.Weights}); err != nil {
		return err
	}
	after, _, err := p.Checksums(ctx)
	if err != nil {
		return err
	}
	if was != "" && was != m.Weights && same(before, after) {
		return &bridge.CanaryError{
			Server: d.e.URL(), Version: m.Version, Part: bridge.PartOwn,
			Seen: fmt.Sprintf("it acknowledged the load of %s, yet none of the %d checksums of its weights has changed", m.Folder, len(after)),
		}
	}
	d.publisher, d.weights = p, m.Weights
	return nil
}

// fits compares names and shapes with those of the folder that the server was
// started with, where that can be seen; dtypes are converted at the load.
func (d *vllmDeployment) fits(have []bridge.Tensor) error {
	if !filepath.IsAbs(d.found.Root) {
		return nil
	}
	if _, err := os.Stat(d.found.Root); err != nil {
		return nil //nolint:nilerr // it is on another machine
	}
	want, err := inspector{}.Tensors(d.found.Root)
	if err != nil {
		return err
	}
	dtypes := map[string]string{}
	for _, t := range have {
		dtypes[t.Name] = t.DType
	}
	for i := range want {
		if dtype, ok := dtypes[want[i].Name]; ok {
			want[i].DType = dtype
		}
	}
	return bridge.CheckTensors(want, have)
}

// same tells whether there are checksums and all are equal.
func same(before, after map[string]string) bool {
	for name, sum := range after {
		if before[name] != sum {
			return false
		}
	}
	return len(after) > 0 && len(before) == len(after)
}

// StillLive implements [sweep.Deployment].
func (d *vllmDeployment) StillLive(ctx context.Context) error {
	if d.publisher == nil {
		return nil
	}
	err := d.publisher.StillLive(ctx)
	if canary := (*bridge.CanaryError)(nil); errors.As(err, &canary) {
		d.publisher, d.weights = nil, ""
		err = fmt.Errorf("%w: %w", sweep.ErrOthers, err)
	}
	return err
}

// Restore implements [sweep.Deployment].
func (d *vllmDeployment) Restore(ctx context.Context, root string) error {
	d.publisher, d.weights = nil, ""
	return bridgevllm.Restore(ctx, d.e, root)
}

// embeddedDeployment is the server in the program, started anew for each model.
type embeddedDeployment struct {
	concurrency int
	server      *embedded
	e           *endpoint.Endpoint
	folder      string
}

// Find implements [sweep.Deployment]; it needs a Load before.
func (d *embeddedDeployment) Find(ctx context.Context, served string) (*evaluate.Server, error) {
	return evaluate.Find(ctx, d.e, served, probing)
}

// Load implements [sweep.Deployment].
func (d *embeddedDeployment) Load(ctx context.Context, m *sweep.Model) error {
	if d.server != nil && d.folder == m.Folder {
		return nil
	}
	if err := d.Close(); err != nil {
		return err
	}
	cfg, err := config.Preset(config.DefaultPreset)
	if err != nil {
		return err
	}
	s, err := startEmbedded(ctx, embeddedOptions{
		model: m.Folder, names: []string{filepath.Base(m.Folder)}, listen: "127.0.0.1:0",
		sequences: min(cfg.Engine.Sequences, d.concurrency), cache: int64(cfg.Engine.CacheMiB) << 20,
	})
	if err != nil {
		return err
	}
	e, err := endpoint.New(s.url, endpoint.Options{MaxConns: d.concurrency + 16})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	d.server, d.e, d.folder = s, e, m.Folder
	return nil
}

// StillLive implements [sweep.Deployment]: nobody else loads anything into it.
func (d *embeddedDeployment) StillLive(context.Context) error { return nil }

// Restore implements [sweep.Deployment]: it has no weights of its own.
func (d *embeddedDeployment) Restore(context.Context, string) error { return d.Close() }

// Close ends the server, if it runs.
func (d *embeddedDeployment) Close() error {
	if d.server == nil {
		return nil
	}
	d.e.Close()
	err := d.server.Close()
	d.server, d.e, d.folder = nil, nil, ""
	return err
}
