package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/report"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write what came of a run as one HTML file that needs nothing else",
		ArgsUsage: "RUN",
		Description: "RUN is the --out of a justrl run, which may still be going on. Its report holds the outcome in words,\n" +
			"the curves, held-out problems answered before and after training, and the whole configuration.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "`FILE` to write (default: RUN/" + report.Name + ")"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			run, err := theRun(c)
			if err != nil {
				return err
			}
			path := c.String("out")
			if path == "" {
				path, err = report.File(run)
			} else {
				err = report.To(run, path)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "report %s\n", path)
			return err
		},
	}
}
