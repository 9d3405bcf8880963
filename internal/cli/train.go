package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/report"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater/model"
)

// train wires a run and lets it go. Everything is checked in the order of what
// it costs: files, then the server, then libtorch; the run directory is written last.
func train(c *cli.Context, cfg config.Config, changed changes) (err error) {
	ctx := c.Context
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()

	sharing, err := openSharing(c, cfg)
	if err != nil {
		return usage(err)
	}
	open.add(sharing.Close)
	web, err := openListening(c)
	if err != nil {
		return usage(err)
	}
	open.add(web.Close)
	web.start(ctx)
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
	if err := bestSet(cfg, heldOut); err != nil {
		return usage(err)
	}
	verifier, closeVerifier, err := newVerifier(ctx, cfg.Reward, notices(c.App.ErrWriter, c.String("log")))
	if err != nil {
		return err
	}
	open.add(closeVerifier)
	validator, held := verifier, cfg.ValidationReward()
	if len(heldOut) > 0 && held.Verifier != cfg.Reward.Verifier {
		if validator, closeVerifier, err = newVerifier(ctx, held, notices(c.App.ErrWriter, c.String("log"))); err != nil {
			return err
		}
		open.add(closeVerifier)
	}
	resume := c.Bool("resume")
	if !resume {
		if err := journal.Free(cfg.Out); err != nil {
			return err
		}
	}
	progress := newProgress(c.App.ErrWriter, c.String("log"), cfg, heldOut)
	open.add(progress.Close)
	all, err := openServers(ctx, c, cfg, progress.Retrying)
	if err != nil {
		return err
	}
	open.add(all.Close)
	t, err := openTrainer(ctx, trainerOptions{
		model: cfg.Model, dtype: cfg.Trainer.DType, device: cfg.Trainer.Device, threads: cfg.Trainer.Threads,
		update: cfg.Update, optimizer: cfg.Optimizer,
	})
	if err != nil {
		return err
	}
	open.add(t.Close)
	dir, info, err := openJournal(cfg, resume)
	if err != nil {
		return err
	}
	open.add(dir.Close)

	if held.Verifier == config.VerifierStrictBox {
		for _, set := range heldOut {
			progress.unreachable(set)
		}
	}
	spec, err := model.Load(cfg.Model)
	if err != nil {
		return err
	}
	run := orchestrator.Run{
		Config: cfg, Shape: spec.Shape(),
		Updater: t, Journal: dir, HeldOut: heldOut, Observer: progress, Now: time.Now,
		Verifier: verifier, Other: other(cfg, verifier, validator),
	}
	if resume {
		run.Resumed = resumed(changed)
	}
	cursor, err := run.Resume(ctx)
	if errors.Is(err, orchestrator.ErrStepsDone) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	if resume { // only now: a resume that is refused changes nothing
		text, err := cfg.YAML()
		if err := errors.Join(err, dir.SetConfig(text)); err != nil {
			return err
		}
	}
	outside, err := openOutside(cfg, info, dir, progress, web)
	if err != nil {
		return err
	}
	open.add(outside.Close)
	var summary journal.Summary
	defer func() { outside.ended(ctx, summary, err) }()
	run.Observer = outside.observers()
	if run.Rows, err = data.stream(cfg, cursor); err != nil {
		return err
	}
	want, err := inspector{}.Tensors(cfg.Model)
	if err != nil {
		return err
	}
	want = inDType(want, cfg.Trainer.DType)
	keeper, err := newKeeper(ctx, all, cfg, info.ID, want, t, data, outside)
	if err != nil {
		return err
	}
	open.add(keeper.Close)
	outside.fleet.Store(keeper.fleet)
	published := snapshots(cfg, info.ID, want, t)
	if err := sharing.start(ctx, info.ID, published.Root); err != nil {
		return err
	}
	run.Snapshots, run.Bridge, run.Servers = published, keeper.bridge, keeper
	run.Sampler, run.Validator = samplers(cfg, keeper.generator(len(all)), verifier, validator, outside.Rollout)
	all.sayPlans(progress.Notice)
	defer context.AfterFunc(ctx, func() {
		progress.Notice("stopping at the next step boundary; another signal ends the process at once")
	})()
	summary, err = run.Train(ctx)
	all.sayRetokenized(progress.Notice)
	var unscored *sampler.UnscoredError
	if errors.As(err, &unscored) {
		err = fmt.Errorf("%w; reward.max_unscored is the share that may be left out", err)
	}
	if errors.Is(err, orchestrator.ErrInterrupted) || isServerError(err) || unscored != nil || atomicdir.IsFull(err) {
		return fmt.Errorf("%w; to go on: justrl run --resume --out %s", err, cfg.Out)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(progress.Close(), printSummary(c.App.Writer, summary, cfg.Out)); err != nil {
		return err
	}
	path, err := report.File(cfg.Out)
	if err != nil {
		return fmt.Errorf("the run is complete, but its report could not be written: %w; justrl report %s tries again", err, cfg.Out)
	}
	_, err = fmt.Fprintf(c.App.Writer, "report %s\n", path)
	return err
}

// bestSet refuses a validation.best that is none of the sets.
func bestSet(cfg config.Config, heldOut []orchestrator.HeldOut) error {
	best := cfg.Validation.Best
	if best == "" || slices.ContainsFunc(heldOut, func(set orchestrator.HeldOut) bool { return set.Name == best }) {
		return nil
	}
	if len(heldOut) == 0 {
		return fmt.Errorf("validation.best is %q, and there is no validation (--validation)", best)
	}
	var names []string
	for _, set := range heldOut {
		names = append(names, set.Name)
	}
	return fmt.Errorf("validation.best is %q, which is none of the sets: %s; leave it empty for their mean", best, strings.Join(names, ", "))
}

// resumed is what is known here of a run that is taken up again.
func resumed(changed changes) *journal.Resume {
	host, _ := os.Hostname()
	return &journal.Resume{
		Time: time.Now().UTC(), Version: version(), Host: host, CPUs: runtime.NumCPU(), Changed: changed.conduct, Recipe: changed.recipe,
	}
}

// heldOutUnscored is the share of held-out answers that their verifier may fail on:
// one that says 9!! must not end a run of days, least of all in the same place each
// time that it is resumed. They are left out, and said.
const heldOutUnscored = 0.05

// samplers are that of training and that of held-out problems, where an answer
// is as good as its verifier says, however long it is.
func samplers(cfg config.Config, g sampler.Generator, v, heldOut sampler.Verifier, told func(sampler.Row, sampler.Rollout, error)) (training, validation *sampler.Sampler) {
	s := sampler.Sampler{
		Generator: g, Verifier: v, Concurrency: cfg.Sampling.Concurrency, OnRollout: told, Lengths: &sampler.MeanLengths{},
		VerifyConcurrency: verifierWorkers(cfg.Reward), VerifyTimeout: verifierLimit(cfg.Reward), MaxUnscored: cfg.Reward.MaxUnscored,
	}
	training, validation = &s, new(s)
	held := cfg.ValidationReward()
	validation.Verifier, validation.VerifyConcurrency, validation.VerifyTimeout = heldOut, verifierWorkers(held), verifierLimit(held)
	validation.MaxUnscored = max(s.MaxUnscored, heldOutUnscored)
	if cfg.Reward.OverlongBuffer > 0 {
		training.Shaper = reward.Overlong{MaxTokens: cfg.Sampling.MaxTokens, Buffer: cfg.Reward.OverlongBuffer, Factor: cfg.Reward.OverlongFactor}
	}
	return training, validation
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
		ID: newRunID(), Version: version(), Go: runtime.Version(), Host: host, CPUs: runtime.NumCPU(), Started: time.Now().UTC(),
		Seed: cfg.Seed, Model: cfg.Model, Servers: serverNames(cfg),
	}
	dir, err := journal.Create(cfg.Out, info, text)
	return dir, info, err
}

// serverNames are those that a run samples from, by their names in its records.
func serverNames(cfg config.Config) []string {
	if len(cfg.Server) == 0 {
		return []string{embeddedName}
	}
	return cfg.Server
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
