package cli

import (
	"context"

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

// trainerFlags checks --dtype and --device as the configuration does.
func trainerFlags(c *cli.Context) error {
	t := config.Trainer{DType: c.String("dtype"), Device: c.String("device"), Threads: c.Int("threads")}
	return usage(t.Validate())
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
