package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/updater"
)

func updateCommand() *cli.Command {
	return &cli.Command{
		Name:  "update",
		Usage: "run one training step on recorded rollouts, without a server",
		Flags: []cli.Flag{
			modelFlag("`DIR` of the policy in the Hugging Face layout (required)"),
			&cli.StringFlag{Name: "rollouts", Usage: "`FILE` of rollouts, JSON Lines or a run's parquet; rows with one group number are one group"},
			&cli.StringFlag{Name: "out", Usage: "`DIR` for the new weights; must not exist"},
			&cli.IntFlag{Name: "step", Value: -1, DefaultText: "the first after the warm-up", Usage: "training step `N` for the learning-rate schedule, from 0"},
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print one JSON object for each optimizer update"},
			presetFlag(), fileFlag(), setFlag(), dtypeFlag(), deviceFlag(), threadsFlag(),
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "model", "rollouts", "out")); err != nil {
				return err
			}
			cfg, err := recipe(c)
			if err != nil {
				return err
			}
			if c.IsSet("step") && c.Int("step") < 0 {
				return usagef("--step must be 0 or more, is %d", c.Int("step"))
			}
			return runUpdate(c, cfg)
		},
	}
}

func runUpdate(c *cli.Context, cfg config.Config) (err error) {
	t, err := openTrainer(c.Context, trainerOptions{
		model: c.String("model"), dtype: cfg.Trainer.DType, device: cfg.Trainer.Device, threads: cfg.Trainer.Threads,
		update: cfg.Update, optimizer: cfg.Optimizer,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	groups, err := readGroups(c.String("rollouts"), int32(t.Spec().Vocab))
	if err != nil {
		return err
	}
	step := c.Int("step")
	if step < 0 {
		step = cfg.Optimizer.WarmupSteps
	}
	out := c.String("out")
	_, err = atomicdir.Create(out, atomicdir.Marker{Step: step}, func(tmp string) error {
		result, err := t.Step(c.Context, step, groups, nil)
		if err != nil {
			return err
		}
		if err := printUpdates(c.App.Writer, result, c.Bool("json")); err != nil {
			return err
		}
		return t.Export(context.WithoutCancel(c.Context), tmp)
	})
	return err
}

func printUpdates(w io.Writer, result updater.StepResult, asJSON bool) error {
	enc := jsonLines(w)
	for i, u := range result.Updates {
		if asJSON {
			if err := enc.Encode(u); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, "update %d/%d  loss %+.6f  clipped %.4f  lower %.4f  kl %+.2e  entropy %.4f  grad norm %.4f  lr %.3g  %d tokens in %d packs\n",
			i+1, len(result.Updates), u.PGLoss, u.PGClipFrac, u.PGClipFracLower, u.PPOKL, u.Entropy, u.GradNorm, u.LR, u.Tokens, u.Packs); err != nil {
			return err
		}
	}
	return nil
}
