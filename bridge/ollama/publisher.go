// Package ollama loads snapshots into an Ollama server: a snapshot's files are
// uploaded as blobs and become the served model, under the same name, with
// /api/create, which needs no disk that both sides see.
//
// Ollama stores matrices as F16, whatever the snapshot's dtype; and of every snapshot
// it keeps the uploaded safetensors until it is started again, as its API can delete
// none but a model's own layers. Both are in docs/servers.md.
//
// Deliberately absent: quantizing (the policy that samples would not be the one that
// is trained) and adapters.
package ollama

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

var (
	_ bridge.Publisher   = (*Publisher)(nil)
	_ bridge.Checksummer = (*Publisher)(nil)
	_ bridge.Watcher     = (*Publisher)(nil)
)

// callLimit bounds one attempt of the calls that a server in order answers at once.
const callLimit = time.Minute

// Options are a Publisher's settings. All are needed but Drain.
type Options struct {
	// Model is the served model's name. What it names on the server is replaced; what
	// it named before the first Load stays there as [Kept].
	Model string
	// Run makes the tags that the server shows for its weights unique: RUN-VERSION.
	Run string
	// Context is the num_ctx that the model is loaded with: that of the requests that follow.
	Context int
	// Want lists the tensors of the run's model.
	Want []bridge.Tensor
	// Inspector reads a snapshot's tensors.
	Inspector bridge.Inspector
	// Drain bounds the wait for requests, of others too, that still run on the older
	// weights; 0 is one minute.
	Drain time.Duration
}

// Publisher is bridge.Publisher for one model of one Ollama server. One method at a time.
type Publisher struct {
	c      *client
	o      Options
	kept   bool            // the model from before is
	tag    string          // what the server must show; "" before the first load
	digest string          // of the model's manifest, beside tag
	good   bridge.Snapshot // the last that was loaded
}

// New makes a Publisher; it sends nothing. The caller keeps the endpoint.
func New(e *endpoint.Endpoint, o Options) (*Publisher, error) {
	if e == nil || o.Model == "" || o.Run == "" || o.Context < 1 || len(o.Want) == 0 || o.Inspector == nil {
		return nil, errors.New("bridge/ollama: needs an endpoint, Model, Run, Context, Want and Inspector")
	}
	if o.Drain == 0 {
		o.Drain = time.Minute
	}
	o.Model = tagged(o.Model)
	c, err := newClient(e)
	if err != nil {
		return nil, err
	}
	return &Publisher{c: c, o: o}, nil
}

// Load implements bridge.Publisher.
//
// The snapshot is checked before the server is asked. Then its files are uploaded, those
// that the server has already left out; the runner of the older weights is unloaded; the
// model is created under its name, tagged with the version; the new weights are loaded;
// and the server's list of runners must show these, by the digest of what was created,
// and no other under the model's name. Ollama looks a name up when a request comes and
// has a runner of its own for each set of weights, so that from then on nothing can be
// answered by older weights, or through a cache of theirs.
//
// A server on which the creation failed serves what it served before.
//
// Only ctx bounds the upload, the creation and the loading, which take as long as the
// model's size makes them.
func (p *Publisher) Load(ctx context.Context, s bridge.Snapshot) error {
	files, err := p.check(s)
	if err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("load weights version %d: %w", s.Version, err)
	}
	if err := p.load(ctx, s, files); err != nil {
		return fmt.Errorf("load weights version %d into %s: %w", s.Version, p.c.url, err)
	}
	return nil
}

// check refuses a snapshot that is not whole or not of the served model.
func (p *Publisher) check(s bridge.Snapshot) ([]file, error) {
	m, err := atomicdir.Read(s.Dir)
	if err != nil {
		return nil, err
	}
	if m.Version != s.Version {
		return nil, fmt.Errorf("%s holds version %d", s.Dir, m.Version)
	}
	have, err := p.o.Inspector.Tensors(s.Dir)
	if err != nil {
		return nil, err
	}
	if err := bridge.CheckTensors(p.o.Want, have); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	return filesOf(s.Dir, m)
}

func (p *Publisher) load(ctx context.Context, s bridge.Snapshot, files []file) error {
	if err := p.StillLive(ctx); err != nil {
		return err
	}
	before, err := p.show(ctx)
	if err != nil {
		return err
	}
	if err := p.keep(ctx, before); err != nil {
		return err
	}
	for _, f := range files {
		if err := p.c.upload(ctx, f); err != nil {
			return err
		}
	}
	if err := p.unload(ctx); err != nil {
		return err
	}
	p.tag, p.digest = "", ""
	tag := fmt.Sprintf("%s-%d", p.o.Run, s.Version)
	if err := p.create(ctx, files, before, tag); err != nil {
		return err
	}
	digest, err := p.created(ctx)
	if err != nil {
		return err
	}
	if err := p.preload(ctx); err != nil {
		return err
	}
	if err := p.alone(ctx, s.Version, digest); err != nil {
		return err
	}
	p.good, p.tag, p.digest = s, tag, digest
	return p.StillLive(ctx)
}

// Kept is the name under which what a model's name stood for before the first load stays
// on the server.
func Kept(model string) string { return untagged(model) + ":before-justrl" }

// keep copies the model that is not a run's own, once, so that no run takes a user's
// model away: on an Ollama a name's weights are on disk, and replaced for good.
func (p *Publisher) keep(ctx context.Context, before *api.ShowResponse) error {
	if p.kept || tagOf(before.License) != "" {
		return nil
	}
	err := p.c.quick(ctx, "/api/copy", func(ctx context.Context) error {
		return p.c.Copy(ctx, &api.CopyRequest{Source: p.o.Model, Destination: Kept(p.o.Model)})
	})
	p.kept = err == nil
	return err
}

func (p *Publisher) create(ctx context.Context, files []file, before *api.ShowResponse, tag string) error {
	r := &api.CreateRequest{
		Model: p.o.Model, Files: map[string]string{}, License: withTag(before.License, tag), System: before.System,
		Parameters: parameters(before.Parameters, p.o.Context), Renderer: before.Renderer, Parser: before.Parser,
	}
	if before.Template != plainTemplate {
		r.Template = before.Template
	}
	for _, f := range files {
		r.Files[f.name] = f.digest
	}
	return p.c.long(ctx, "/api/create", func(ctx context.Context) error {
		done := false
		err := p.c.Create(ctx, r, func(got api.ProgressResponse) error {
			done = done || got.Status == "success"
			return nil
		})
		if err == nil && !done { // Ollama's client takes a cut connection for the end
			err = errCut
		}
		return err
	})
}

// plainTemplate is what Ollama gives a model of which it knows no chat template.
const plainTemplate = "{{ .Prompt }}"

// StillLive implements bridge.Watcher: the model must be the one that was created last, to
// its digest. It tells once: the next load, of a bridge that starts again, may put it right.
func (p *Publisher) StillLive(ctx context.Context) error {
	if p.tag == "" {
		return nil
	}
	show, err := p.show(ctx)
	if err != nil {
		return err
	}
	digest, err := p.created(ctx)
	if err != nil {
		return err
	}
	shown := tagOf(show.License)
	if shown == p.tag && digest == p.digest {
		return nil
	}
	want := p.tag
	p.tag = ""
	return &bridge.CanaryError{
		Server: p.c.url, Version: p.good.Version, Part: bridge.PartIdle,
		Seen: fmt.Sprintf("%s shows weights %q (digest %.12s) where %q (%.12s) was loaded: somebody else creates models there; what was sampled since then is not version %d's", p.o.Model, shown, digest, want, p.digest, p.good.Version),
	}
}
