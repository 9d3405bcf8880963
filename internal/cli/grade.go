package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"
)

func gradeCommand() *cli.Command {
	return &cli.Command{
		Name:  "grade",
		Usage: "score responses against ground truths, without a server",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "in", Usage: "JSON Lines `FILE` of {id, response, ground_truth}"},
			&cli.StringFlag{Name: "generations", Usage: "generations `FILE` of an evaluation, or folder of such files, instead of --in"},
			&cli.StringFlag{Name: "out", Usage: "`PATH` to write: with --in a file, the same plus correct, answer, by, score; with --generations a folder for grading_results.json, verdicts.jsonl, results.md and results.csv"},
			&cli.StringFlag{Name: "against", Usage: "`DIR` that grade wrote for another model: compare with it, problem by problem"},
			&cli.StringFlag{Name: "tokenizer", Usage: "model folder `DIR` whose tokenizer counts the tokens of responses whose file does not say"},
			&cli.IntFlag{Name: "workers", Usage: "gradings at a time, `N`; 0 = the number of CPUs"},
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of the intervals' random draws"},
			&cli.BoolFlag{Name: "json", Usage: "print the results as JSON instead of a table"},
		}, slices.Concat(judgeFlags(), []cli.Flag{caFlag()}, verifierFlags())...),
		OnUsageError: usageError,
		Action:       gradeAction,
	}
}

func gradeAction(c *cli.Context) (err error) {
	if err := errors.Join(noArguments(c), need(c, "out")); err != nil {
		return err
	}
	if c.IsSet("in") == c.IsSet("generations") {
		return usagef("grade needs --in or --generations, one of the two; see justrl grade --help")
	}
	if err := judgeUsage(c); err != nil {
		return err
	}
	if c.IsSet("in") {
		for _, flag := range []string{"against", "tokenizer", "seed", "json", "judge"} {
			if given(c, flag) {
				return usagef("grade: --%s is for --generations", flag)
			}
		}
		if st, err := os.Stat(c.String("out")); err == nil && st.IsDir() {
			return usagef("grade: --out %s is a folder: with --in it is the file to write", c.String("out"))
		}
	}
	if c.Int("workers") < 0 {
		return usagef("grade: --workers must be at least 0, is %d", c.Int("workers"))
	}
	cfg, err := gradingConfig(c, "reward")
	if err != nil {
		return err
	}
	rules, done, err := openRules(c, cfg.Reward, c.Int("workers"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if c.IsSet("in") {
		err = rules.pairs(c)
	} else {
		err = rules.generations(c)
	}
	if err != nil {
		return fmt.Errorf("grade: %w", err)
	}
	return nil
}

// unscored says in words how many answers have no verdict; "" if none.
func unscored(failed, timedOut int) string {
	if failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d without a verdict, of which %d took too long: they count as not correct", failed, timedOut)
}
