package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "train a recorded step of a run again, without a server, and compare",
		ArgsUsage: "RUN",
		Description: "Takes the newest checkpoint that is not after the step, trains with the recorded rollouts and rewards,\n" +
			"and compares every figure and the weights' SHA-256 with the record. Exit code 0 if all are the same, else 1.\n" +
			"RUN is only read, and may be at work. The last bits may depend on --device and --threads: leave them as the run had them.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "step", DefaultText: "none, it must be given", Usage: "train step `N` again, from 0"},
			&cli.StringFlag{Name: "out", Usage: "`DIR` for the weights after the step; must not exist"},
			&cli.StringFlag{Name: "export", Usage: "write the step's rollouts to `FILE` as JSON Lines, and train nothing"},
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print one JSON object"},
			&cli.StringFlag{Name: "device", EnvVars: []string{"JUSTRL_DEVICE"}, DefaultText: "the run's", Usage: "run the updater on `DEVICE`: cpu, cuda:0 …"},
			&cli.IntFlag{Name: "threads", EnvVars: []string{"JUSTRL_THREADS"}, DefaultText: "the run's", Usage: "let libtorch use `N` CPU threads; 0 = all cores"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			path, err := theRun(c)
			if err := errors.Join(err, need(c, "step")); err != nil {
				return err
			}
			if c.Int("step") < 0 {
				return usagef("--step must be 0 or more, is %d", c.Int("step"))
			}
			if c.IsSet("export") {
				if c.IsSet("out") || c.IsSet("json") {
					return usagef("--export trains nothing: leave out --out and --json")
				}
				return exportRollouts(path, c.Int("step"), c.String("export"))
			}
			return replay(c, path)
		},
	}
}

// exportRollouts leaves what a step was trained on in a file of JSON Lines.
func exportRollouts(run string, step int, to string) error {
	if err := journal.Exists(run); err != nil {
		return err
	}
	err := writeFile(to, func(w io.Writer) error { return journal.ExportRollouts(w, run, step) })
	if errors.Is(err, fs.ErrNotExist) && !fileExists(journal.RolloutsPath(run, step)) {
		return fmt.Errorf("%s is not there; checkpoint.rollouts says how many steps' rollouts are kept", journal.RolloutsPath(run, step))
	}
	return err
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func replay(c *cli.Context, run string) error {
	if err := journal.Exists(run); err != nil {
		return err
	}
	cfg, err := config.LoadRun(filepath.Join(run, "config.yaml"))
	if err != nil {
		return err
	}
	applyFlags(c, &cfg, func(flag string) bool { return (flag == "device" || flag == "threads") && c.IsSet(flag) })
	if err := cfg.Trainer.Validate(); err != nil {
		return usage(err)
	}
	got, err := replayStep(c.Context, cfg, run, c.Int("step"), c.String("out"))
	if err != nil {
		return err
	}
	differ := got.Differences()
	if c.Bool("json") {
		err = printReplayJSON(c.App.Writer, got, differ)
	} else {
		err = printReplay(c.App.Writer, got, differ)
	}
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("replay: step %d is not the same: %d of %d figures differ", got.Step, len(differ), len(got.Figures))
	}
	return err
}

// replayStep leaves the weights after the step in out, unless that is empty.
func replayStep(ctx context.Context, cfg config.Config, run string, step int, out string) (got orchestrator.Replayed, err error) {
	t, err := openTrainer(ctx, trainerOptions{
		model: cfg.Model, dtype: cfg.Trainer.DType, device: cfg.Trainer.Device, threads: cfg.Trainer.Threads,
		update: cfg.Update, optimizer: cfg.Optimizer,
	})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	r := orchestrator.Replay{Run: run, Config: cfg, Step: step, Updater: t, SHA256: t.WeightsSHA256}
	if out == "" {
		return r.Do(ctx)
	}
	_, err = atomicdir.Create(out, atomicdir.Marker{Step: step}, func(tmp string) (err error) {
		if got, err = r.Do(ctx); err != nil {
			return err
		}
		return t.Export(ctx, tmp)
	})
	return got, err
}

func printReplayJSON(w io.Writer, r orchestrator.Replayed, differ []orchestrator.Figure) error {
	if differ == nil {
		differ = []orchestrator.Figure{} // an empty list in JSON
	}
	return jsonLines(w).Encode(struct {
		orchestrator.Replayed
		Compared    int                   `json:"compared"`
		Same        bool                  `json:"same"`
		Differences []orchestrator.Figure `json:"differences"`
	}{r, len(r.Figures), len(differ) == 0, differ})
}

// printReplay shows the step's own figures, and then every difference.
func printReplay(w io.Writer, r orchestrator.Replayed, differ []orchestrator.Figure) error {
	from := r.Checkpoint
	if from == "" {
		from = "the model that the run began with"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "step %d, trained again from %s (%d steps)\n", r.Step, from, r.Step-r.From+1)
	line := func(key string, f orchestrator.Figure) {
		replayed := "same"
		if !f.Same() {
			replayed = figure(f.Replayed)
		}
		fmt.Fprintf(&b, "%-28s  %-24s  %s\n", key, figure(f.Recorded), replayed)
	}
	fmt.Fprintf(&b, "%-28s  %-24s  %s\n", "", "recorded", "replayed")
	for _, f := range r.Figures {
		if f.Step == r.Step && !strings.HasPrefix(f.Key, "updates[") {
			line(f.Key, f)
		}
	}
	if len(differ) == 0 {
		fmt.Fprintf(&b, "the same: %d figures\n", len(r.Figures))
	} else {
		fmt.Fprintf(&b, "%d of %d figures differ:\n", len(differ), len(r.Figures))
	}
	for _, f := range differ {
		line(fmt.Sprintf("step %d %s", f.Step, f.Key), f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// figure is a value of a record as people read it.
func figure(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil && len(text) > 12 {
		return text[:12] + "…"
	}
	return string(v)
}
