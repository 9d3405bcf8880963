package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/export"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a run's figures in the form that another program imports",
		ArgsUsage: "RUN",
		Description: "RUN is the --out of a justrl run, which may still be going on; it is only read.\n" +
			"csv is steps.csv and validation.csv. wandb is a folder with the whole history and wandb_import.py, which gives\n" +
			"it to Weights & Biases (pip install wandb). tensorboard is one event file, as a run keeps in tb/ by itself.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`FORMAT`: " + strings.Join(export.Formats, ", ")},
			&cli.StringFlag{Name: "out", Usage: "`DIR` to write into"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			run, err := theRun(c)
			if err != nil {
				return err
			}
			if err := need(c, "to", "out"); err != nil {
				return err
			}
			if to := c.String("to"); !slices.Contains(export.Formats, to) {
				return usagef("--to must be one of %s, is %q", strings.Join(export.Formats, ", "), to)
			}
			files, err := export.To(run, c.String("to"), c.String("out"))
			for _, path := range files {
				if _, err := fmt.Fprintln(c.App.Writer, path); err != nil {
					return err
				}
			}
			return err
		},
	}
}
