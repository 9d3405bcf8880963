package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/compare"
	"github.com/justrl/justrl/orchestrator/report"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write what came of runs, or of evaluations, as one HTML file that needs nothing else",
		ArgsUsage: "RUN…|EVAL…",
		Description: "RUN is the --out of a justrl run, which may still be going on. Its report holds the outcome in words,\n" +
			"the curves, held-out problems answered before and after training, and the whole configuration.\n" +
			"Several are compared: by step, by tokens, by seconds and by FLOPs, and at the smallest budget that all have\n" +
			"reached, with intervals over runs that differ only in their seed. The table of that is printed too.\n\n" +
			"EVAL is the --out of justrl eval, or of justrl grade --generations; several are compared. Their report holds\n" +
			"scores with intervals beside the paper's, what decided over the answers, and every wrong answer; many of those\n" +
			"are in the folder FILE-answers beside it. The table of the results is printed too.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "out", DefaultText: "report.html in the one RUN or EVAL", Usage: "`FILE` to write; of evaluations also .md, .csv and .json; may be repeated"},
			&cli.StringSliceFlag{Name: "generations", DefaultText: "in EVAL", Usage: "`DIR` with the answers that an EVAL of grade has the verdicts on; once for each EVAL"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"JUSTRL_DATA_DIR"}, DefaultText: "the cache, where they are there", Usage: "`DIR` with the sets' files, whose columns results are broken down by"},
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the intervals of comparisons and breakdowns"},
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print the results, of evaluations or several runs, as JSON"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			words, err := words(c)
			if err != nil {
				return err
			}
			if len(words) == 0 {
				return usagef("report needs a RUN, the folder of a run, or EVALs, those of evaluations; see justrl report --help")
			}
			runs := 0
			for _, dir := range words {
				if isRun(dir) {
					runs++
				}
			}
			switch {
			case runs == 0:
				return reportEvaluations(c, words)
			case runs < len(words):
				return usagef("report takes RUNs or EVALs, not both: %q; see justrl report --help", words)
			case runs > 1:
				return compareRuns(c, words)
			default:
				return reportRun(c, words[0])
			}
		},
	}
}

// isRun tells whether a folder is a run's: what is no evaluation either counts
// as one, if anything.
func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "run.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

func reportRun(c *cli.Context, run string) error {
	for _, flag := range []string{"generations", "data-dir", "seed", "json"} {
		if given(c, flag) {
			return usagef("--%s is for evaluations, and %s is a run", flag, run)
		}
	}
	paths := c.StringSlice("out")
	if len(paths) == 0 {
		path, err := report.File(run)
		if err != nil {
			return err
		}
		return wrote(c, path)
	}
	for _, path := range paths {
		if err := report.To(run, path); err != nil {
			return err
		}
		if err := wrote(c, path); err != nil {
			return err
		}
	}
	return nil
}

// compareRuns prints the comparison of several runs, and writes its page where
// --out says.
func compareRuns(c *cli.Context, runs []string) error {
	for _, flag := range []string{"generations", "data-dir", "seed"} {
		if given(c, flag) {
			return usagef("--%s is for evaluations, and %s is a run", flag, runs[0])
		}
	}
	seen := map[string]string{}
	for _, run := range runs {
		path, err := filepath.Abs(run)
		if err != nil {
			return err
		}
		if before, twice := seen[path]; twice {
			return usagef("%s is there twice: a run is compared with others (it is %s too)", run, before)
		}
		seen[path] = run
	}
	compared, err := compare.Read(runs)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		if err := enc.Encode(compared); err != nil {
			return err
		}
	} else if err := compared.WriteText(c.App.Writer); err != nil {
		return err
	}
	for _, path := range c.StringSlice("out") {
		if err := compared.To(path); err != nil {
			return err
		}
		if !c.Bool("json") {
			if err := wrote(c, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func wrote(c *cli.Context, path string) error {
	_, err := fmt.Fprintf(c.App.Writer, "report %s\n", path)
	return err
}
