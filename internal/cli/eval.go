package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/internal/endpoint"
)

// What the paper evaluates with.
const (
	evalTemperature = 0.7
	evalTopP        = 0.9
	evalMaxTokens   = 31744
)

// streamsPerServer is how many answers a server is asked for at once: as many
// as vLLM works on by default. More would wait there instead of here.
const streamsPerServer = 256

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "sample benchmarks from a server and grade them as the paper does, without training",
		Description: "Every answer is in --out as soon as it is complete: the same command goes on where an earlier one ended,\n" +
			"however that was. --limit and --n may grow in between: only what is missing is asked for.\n" +
			"SET is one of the paper's nine, or a .jsonl, .csv or .parquet file of problems.\n" +
			"TEMPLATE is a text with {{question}} in it; each is a cell of its own, in a folder of --out.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"JUSTRL_SERVER"}, Usage: "`URL` of a server; several of one model share the work"},
			&cli.StringFlag{Name: "served-model", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, Usage: "`NAME` of the model on the servers (default: the only one they serve)"},
			&cli.StringSliceFlag{Name: "bench", EnvVars: []string{"JUSTRL_BENCH"}, Usage: "`SET` to measure, or all; several with commas between, or repeated"},
			dataDirFlag("the cache, fetched if need be"),
			&cli.IntFlag{Name: "n", EnvVars: []string{"JUSTRL_N"}, DefaultText: "the paper's: 32 or 4", Usage: "sample `N` answers a problem"},
			&cli.Float64Flag{Name: "temperature", EnvVars: []string{"JUSTRL_TEMPERATURE"}, Value: evalTemperature, Usage: "sampling temperature `T`; 0 is greedy"},
			&cli.Float64Flag{Name: "top-p", EnvVars: []string{"JUSTRL_TOP_P"}, Value: evalTopP, Usage: "nucleus `P`, in (0, 1]"},
			&cli.IntFlag{Name: "max-tokens", EnvVars: []string{"JUSTRL_MAX_TOKENS"}, Value: evalMaxTokens, Usage: "tokens of an answer, at most `N`"},
			&cli.IntFlag{Name: "limit", EnvVars: []string{"JUSTRL_LIMIT"}, DefaultText: "all", Usage: "the first `N` problems of each set"},
			&cli.Int64Flag{Name: "seed", EnvVars: []string{"JUSTRL_SEED"}, Usage: "`SEED` that each repeat's is made of"},
			&cli.StringSliceFlag{Name: "template", EnvVars: []string{"JUSTRL_TEMPLATE"}, Usage: "`FILE` of a prompt template, or " + evaluate.PaperName + "; may be repeated (default: " + evaluate.PaperName + ")"},
			&cli.IntFlag{Name: "concurrency", EnvVars: []string{"JUSTRL_CONCURRENCY"}, DefaultText: fmt.Sprintf("%d a server", streamsPerServer), Usage: "ask for `N` answers at once"},
			&cli.DurationFlag{Name: "patience", EnvVars: []string{"JUSTRL_PATIENCE"}, Value: 3 * time.Minute, Usage: "go on trying servers that fail for `TIME`"},
			&cli.DurationFlag{Name: "quiet", EnvVars: []string{"JUSTRL_QUIET"}, Value: evaluate.DefaultQuiet, Usage: "take a server that sends nothing at all for `TIME` to be dead"},
			&cli.StringFlag{Name: "out", EnvVars: []string{"JUSTRL_OUT"}, Usage: "`DIR` for answers, verdicts and results; one that has some goes on"},
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print the results as JSON"},
		}, slices.Concat(judgeFlags(), accessFlags(), verifierFlags())...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "server", "bench", "out")); err != nil {
				return err
			}
			if err := evalUsage(c); err != nil {
				return err
			}
			return runEval(c)
		},
	}
}

// evalUsage refuses numbers that mean nothing.
func evalUsage(c *cli.Context) error {
	var faults []error
	must := func(ok bool, flag, format string) {
		if !ok {
			faults = append(faults, usagef("--%s must be %s, is %v", flag, format, c.Value(flag)))
		}
	}
	must(c.Float64("temperature") >= 0 && c.Float64("temperature") <= 2, "temperature", "from 0 to 2")
	must(c.Float64("top-p") > 0 && c.Float64("top-p") <= 1, "top-p", "above 0 and at most 1")
	must(c.Int("max-tokens") >= 1, "max-tokens", "at least 1")
	for _, flag := range []string{"n", "limit", "concurrency"} {
		must(!c.IsSet(flag) || c.Int(flag) >= 1, flag, "at least 1")
	}
	must(c.Duration("patience") > 0, "patience", "above 0")
	must(c.Duration("quiet") > 0, "quiet", "above 0")
	faults = append(faults, judgeUsage(c))
	return errors.Join(faults...)
}

// runEval samples, grades and reports.
func runEval(c *cli.Context) (err error) {
	ctx := c.Context
	sampling := evaluate.Sampling{Temperature: c.Float64("temperature"), TopP: c.Float64("top-p"), MaxTokens: c.Int("max-tokens"), Seed: c.Int64("seed")}
	cfg, err := gradingConfig(c, "reward", "problems")
	if err != nil {
		return err
	}
	cells, err := evalCells(c, sampling, cfg)
	if err != nil {
		return err
	}
	total := 0
	for _, cell := range cells {
		total += cell.Size()
	}
	shown := newEvalProgress(c.App.ErrWriter, total)
	defer func() { err = errors.Join(err, shown.Close()) }()
	concurrency := c.Int("concurrency")
	if concurrency == 0 {
		concurrency = streamsPerServer * len(c.StringSlice("server"))
	}
	fleet, closeServers, err := openFleet(ctx, c, concurrency, shown)
	if err != nil {
		return err
	}
	defer closeServers()
	rules, closeVerifier, err := openRules(c, cfg.Reward, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeVerifier()) }()
	jury, err := juryOptionsOf(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	m := measurement{
		model: fleet.Infos()[0].Model, sampling: sampling, cells: cells,
		asker: fleet, concurrency: concurrency, servers: fleet.Infos(), found: fleet.Findings,
		rules: rules, jury: jury, out: out, shown: shown,
	}
	report, err := m.do(ctx)
	if err != nil {
		if fault := (usageFault{}); !errors.As(err, &fault) {
			shown.Left(out)
		}
		return err
	}
	if err := shown.Close(); err != nil {
		return err
	}
	return printEval(c.App.Writer, report, c.Bool("json"))
}

// openFleet finds the servers, which must be there and serve one model.
func openFleet(ctx context.Context, c *cli.Context, concurrency int, shown *evalProgress) (*evaluate.Fleet, func(), error) {
	var open []*endpoint.Endpoint
	closeAll := func() {
		for _, e := range open {
			e.Close()
		}
	}
	fail := func(err error) (*evaluate.Fleet, func(), error) {
		closeAll()
		return nil, nil, err
	}
	how, err := access(c)
	if err != nil {
		return fail(usage(err))
	}
	how.MaxConns = concurrency + 16
	var servers []*evaluate.Server
	for _, url := range c.StringSlice("server") {
		e, err := endpoint.New(url, how)
		if err != nil {
			return fail(usage(err))
		}
		open = append(open, e)
		s, err := evaluate.Find(ctx, e, c.String("served-model"), probing)
		if err != nil {
			return fail(err)
		}
		if len(servers) > 0 && s.Info.Model != servers[0].Info.Model {
			return fail(usagef("%s serves %s, %s serves %s: several servers must serve one model (name it with --served-model if they do)",
				servers[0].Info.URL, servers[0].Info.Model, s.Info.URL, s.Info.Model))
		}
		if most, want := s.Info.MaxModelLen, c.Int("max-tokens"); most > 0 && most <= want {
			shown.Notice("%s has a context of %d tokens: answers are cut at what a question leaves of it, not at %d", s.Info.URL, most, want)
		}
		servers = append(servers, s)
	}
	fleet, err := evaluate.NewFleet(servers...)
	if err != nil {
		return fail(err)
	}
	fleet.Retry = endpoint.Retry{Patience: c.Duration("patience"), Notify: shown.Retrying}
	fleet.Quiet = c.Duration("quiet")
	return fleet, closeAll, nil
}
