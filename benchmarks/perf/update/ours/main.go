//go:build torch

// Command ours is the updater as a contender of benchmarks/perf/update: it
// answers a range of groups on its standard input with what one training step
// on them took. Its one argument is the settings, as for the Python contenders.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/justrl/justrl/benchmarks/perf/update/wire"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/torch"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	var s wire.Settings
	if len(args) != 1 {
		return errors.New("the settings are the only argument")
	}
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return err
	}
	update, optimizer := updater.DefaultConfig(), updater.DefaultOptimizerConfig()
	update.MiniBatch, update.MaxPackTokens, update.Recompute = s.MiniBatch, s.PackTokens, s.Recompute
	optimizer.LR, optimizer.WarmupSteps = s.LR, 0
	trainer, err := torch.Open(ctx, torch.Options{Dir: s.Model, DType: cmp.Or(s.DType, "float32"), Device: s.Device, Threads: s.Threads, Update: update, Optimizer: optimizer})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	groups, err := read(s.Rollouts)
	if err != nil {
		return err
	}
	runtime.GC() // what reading left behind is not the step's
	enc, dec := json.NewEncoder(os.Stdout), json.NewDecoder(bufio.NewReader(os.Stdin))
	if err := enc.Encode(struct{}{}); err != nil {
		return err
	}
	for step := 0; dec.More(); step++ {
		var q wire.Groups
		if err := dec.Decode(&q); err != nil {
			return err
		}
		began := time.Now()
		result, err := trainer.Step(ctx, step, groups[q.From:q.To], nil)
		if err != nil {
			return err
		}
		a := wire.Step{Seconds: time.Since(began).Seconds()}
		for _, u := range result.Updates {
			a.Losses, a.GradNorms = append(a.Losses, u.PGLoss), append(a.GradNorms, u.GradNorm)
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// read returns the rollouts of a JSON Lines file by group, in the file's order.
func read(path string) ([]updater.Group, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var groups []updater.Group
	for dec := json.NewDecoder(bufio.NewReader(f)); dec.More(); {
		var r journal.Rollout
		if err := dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if n := len(groups); n == 0 || groups[n-1].Ordinal != r.Group {
			groups = append(groups, updater.Group{Ordinal: r.Group})
		}
		last := &groups[len(groups)-1]
		last.Rollouts = append(last.Rollouts, updater.Rollout{
			PromptTokenIDs: r.PromptTokenIDs, TokenIDs: r.TokenIDs, Logprobs: r.Logprobs, Reward: r.Reward,
		})
	}
	return groups, nil
}
