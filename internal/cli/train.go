package cli

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// train wires a run and lets it go. Everything is checked in the order of what
// it costs: files, then the server, then the run directory, then libtorch.
func train(c *cli.Context, cfg config.Config) (err error) {
	ctx := c.Context
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()

	if cfg.Model, cfg.Out, err = absolute(cfg.Model, cfg.Out); err != nil {
		return err
	}
	tok, err := tokenizer.Load(cfg.Model)
	if err != nil {
		return err
	}
	data, err := openData(ctx, cfg, tok)
	if err != nil {
		return err
	}
	open.add(data.Close)
	heldOut, err := heldOut(ctx, cfg, tok)
	if err != nil {
		return err
	}
	server, err := openServer(ctx, c, cfg)
	if err != nil {
		return err
	}
	open.add(server.Close)
	dir, info, err := openJournal(cfg, c.Bool("resume"))
	if err != nil {
		return err
	}
	open.add(dir.Close)
	t, err := openTrainer(ctx, trainerOptions{
		model: cfg.Model, dtype: cfg.Trainer.DType, device: cfg.Trainer.Device, threads: cfg.Trainer.Threads,
		update: cfg.Update, optimizer: cfg.Optimizer,
	})
	if err != nil {
		return err
	}
	open.add(t.Close)

	progress := newProgress(c.App.ErrWriter, c.String("log"), cfg, heldOut)
	open.add(progress.Close)
	verifier, err := newVerifier(cfg.Reward.Verifier)
	if err != nil {
		return err
	}
	run := orchestrator.Run{
		Config:  cfg,
		Updater: t, Journal: dir, HeldOut: heldOut, Observer: progress, Now: time.Now,
		Sampler: &sampler.Sampler{
			Generator: server.generator, Verifier: verifier, Concurrency: cfg.Sampling.Concurrency, OnRollout: progress.Rollout,
		},
	}
	cursor, err := run.Resume(ctx)
	if err != nil {
		return err
	}
	if run.Rows, err = data.stream(cfg, cursor); err != nil {
		return err
	}
	if run.Publisher, run.Bridge, err = server.bridge(ctx, cfg, info.ID, t, data); err != nil {
		return err
	}
	summary, err := run.Train(ctx)
	if errors.Is(err, orchestrator.ErrInterrupted) {
		return fmt.Errorf("%w; to go on: justrl run --resume --out %s", err, cfg.Out)
	}
	if err != nil {
		return err
	}
	return errors.Join(progress.Close(), printSummary(c.App.Writer, summary, cfg.Out))
}

func absolute(model, out string) (string, string, error) {
	m, err := filepath.Abs(model)
	if err != nil {
		return "", "", err
	}
	o, err := filepath.Abs(out)
	return m, o, err
}

func openJournal(cfg config.Config, resume bool) (*journal.Dir, journal.Info, error) {
	if resume {
		return journal.Open(cfg.Out)
	}
	text, err := cfg.YAML()
	if err != nil {
		return nil, journal.Info{}, err
	}
	host, _ := os.Hostname() // a run without a name for its host is still a run
	info := journal.Info{
		ID: newRunID(), Version: Version, Go: runtime.Version(), Host: host, CPUs: runtime.NumCPU(), Started: time.Now().UTC(),
		Seed: cfg.Seed, Model: cfg.Model, Servers: cfg.Server,
	}
	dir, err := journal.Create(cfg.Out, info, text)
	return dir, info, err
}

func newRunID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// closers are closed in the reverse order of their opening.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	return errors.Join(errs...)
}
