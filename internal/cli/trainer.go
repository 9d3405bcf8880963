package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
)

// trainerOptions say which model to load and how to train it.
type trainerOptions struct {
	model, dtype, device string
	threads              int
	update               updater.Config
	optimizer            updater.OptimizerConfig
}

// trainer is the updater on libtorch as the commands need it.
type trainer interface {
	updater.Updater
	Spec() model.Spec
	// WeightsSHA256 is what the exported weights' hash would be.
	WeightsSHA256(ctx context.Context) (string, error)
}

// recipe is the configuration of a command that trains or scores without a run:
// --preset, --config, --set and the flags over them.
func recipe(c *cli.Context) (config.Config, error) {
	cfg, err := resolve(c.String("preset"), c.String("config"), nil)
	if err != nil {
		return cfg, usage(err)
	}
	if err := overlay(c, &cfg, func(string) bool { return true }); err != nil {
		return cfg, usage(err)
	}
	return cfg, usage(errors.Join(cfg.Update.Validate(), cfg.Optimizer.Validate(), cfg.Trainer.Validate()))
}

func modelFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "model", EnvVars: []string{"JUSTRL_MODEL"}, Usage: usage}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", EnvVars: []string{"JUSTRL_DEVICE"}, DefaultText: "cpu", Usage: "run the updater on `DEVICE`: cpu, cuda:0 …"}
}

func threadsFlag() cli.Flag {
	return &cli.IntFlag{Name: "threads", EnvVars: []string{"JUSTRL_THREADS"}, DefaultText: "all cores", Usage: "let libtorch use `N` CPU threads"}
}

func dtypeFlag() cli.Flag {
	return &cli.StringFlag{Name: "dtype", EnvVars: []string{"JUSTRL_DTYPE"}, DefaultText: "the model's own; a CPU computes in float32", Usage: "`TYPE` of the arithmetic and of written weights: float32 or bfloat16"}
}
