package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "train a policy: sample from a server, reward, update, hot-reload the new weights, step after step",
		Description: "Without --server the run starts the embedded server on --model, on this machine's CPU, and stops it at its end.\n" +
			"A server must serve the model given with --model; justrl doctor says whether a run can use it, and what is\n" +
			"missing. A vLLM needs its development mode (VLLM_SERVER_DEV_MODE=1) and must be able to read the run\n" +
			"directory, or publish.dir, under the same path, or have a justrl agent beside it (--share, --agent). Ctrl-C\n" +
			"stops at a step boundary and saves it; run --resume --out DIR goes on.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"JUSTRL_SERVER"}, Usage: "`URL` of a server to sample from; may be repeated (default: the embedded one)"},
			&cli.StringFlag{Name: "served-model", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, Usage: "`NAME` of the model on the server (default: the only one it serves)"},
			modelFlag("policy: `DIR` in the Hugging Face layout, or an id of the hub, ORG/NAME[@REV]"),
			&cli.StringFlag{Name: "data", EnvVars: []string{"JUSTRL_DATA"}, Usage: "training problems: `FILE`, .parquet, .jsonl or .csv, dapo, or an id of the hub, ORG/NAME[@REV][/FILE]"},
			&cli.StringSliceFlag{Name: "validation", EnvVars: []string{"JUSTRL_VALIDATION"}, Usage: "held-out problems: `FILE`, a benchmark's name, or an id of the hub; may be repeated"},
			&cli.StringFlag{Name: "out", EnvVars: []string{"JUSTRL_OUT"}, Usage: "run `DIR`; new, or with --resume an old one"},
			&cli.IntFlag{Name: "steps", EnvVars: []string{"JUSTRL_STEPS"}, DefaultText: "the preset's", Usage: "train `N` steps"},
			&cli.Int64Flag{Name: "seed", EnvVars: []string{"JUSTRL_SEED"}, DefaultText: "the preset's", Usage: "`SEED` of data order and sampling"},
			allowRetokenizedFlag(),
			syncFlag(),
			&cli.BoolFlag{Name: "resume", DisableDefaultText: true, Usage: "go on with the run in --out from its newest checkpoint that is whole"},
			&cli.BoolFlag{Name: "allow-changed-recipe", DisableDefaultText: true, Usage: "with --resume, go on with settings that make it another experiment"},
			presetFlag(), fileFlag(), setFlag(), deviceFlag(), threadsFlag(), dtypeFlag(),
			&cli.StringFlag{Name: "log", EnvVars: []string{"JUSTRL_LOG"}, Value: logText, Usage: "progress as `FORMAT` on stderr: text or json"},
		}, slices.Concat(listenFlags(), shareFlags(), accessFlags())...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if l := c.String("log"); l != logText && l != logJSON {
				return usagef("--log must be text or json, is %q", l)
			}
			if c.Bool("allow-changed-recipe") && !c.Bool("resume") {
				return usagef("--allow-changed-recipe is for --resume")
			}
			cfg, err := runConfig(c)
			if err != nil {
				return usage(err)
			}
			if err := fetchInputs(c, &cfg); err != nil {
				return err
			}
			changed, err := settle(c, &cfg)
			if err != nil {
				return usage(err)
			}
			return train(c, cfg, changed)
		},
	}
}

// runConfig resolves flags over file over preset; with --resume the run's own
// config.yaml takes the place of both.
func runConfig(c *cli.Context) (config.Config, error) {
	read := func() (config.Config, error) { return resolve(c.String("preset"), c.String("config"), nil) }
	recorded := filepath.Join(c.String("out"), "config.yaml")
	if c.Bool("resume") {
		if c.String("out") == "" {
			return config.Config{}, errors.New("--resume needs --out DIR, the run to go on with")
		}
		// What the environment says is for new runs.
		if given(c, "config") || given(c, "preset") {
			return config.Config{}, errors.New("--resume goes on with the run's own configuration; leave out --preset and --config")
		}
		if _, err := os.Stat(recorded); errors.Is(err, fs.ErrNotExist) {
			return config.Config{}, fmt.Errorf("--out %s: %w", c.String("out"), journal.ErrNoRun)
		}
		read = func() (config.Config, error) { return config.LoadRun(recorded) }
	}
	cfg, err := read()
	if err != nil {
		return cfg, err
	}
	// A resumed run takes only where it runs from the environment, not what it is.
	where := []string{"out", "server", "served-model", "sync", "device", "threads"}
	err = overlay(c, &cfg, func(flag string) bool { return !c.Bool("resume") || slices.Contains(where, flag) })
	if err != nil {
		return cfg, err
	}
	for _, need := range []struct{ flag, value string }{{"model", cfg.Model}, {"data", cfg.Data}, {"out", cfg.Out}} {
		if need.value == "" {
			err = errors.Join(err, fmt.Errorf("run needs --%s", need.flag))
		}
	}
	for i, url := range cfg.Server {
		if slices.Contains(cfg.Server[:i], url) {
			err = errors.Join(err, fmt.Errorf("--server %s is there twice", url))
		}
	}
	return cfg, errors.Join(err, checkSharing(cfg), validate(cfg))
}

// settle makes the paths of a configuration absolute and, with --resume, holds
// it to what the run began with. changed says what a resumed run has that is other.
func settle(c *cli.Context, cfg *config.Config) (changed changes, err error) {
	if err := absolute(cfg); err != nil || !c.Bool("resume") {
		return changes{}, err
	}
	recorded := filepath.Join(cfg.Out, "config.yaml")
	if changed, err = changesOf(recorded, *cfg); err != nil {
		return changed, err
	}
	if len(changed.recipe) > 0 && !c.Bool("allow-changed-recipe") {
		return changed, fmt.Errorf("--resume: %s: that makes it another experiment; leave it as %s says, start a new one, or add --allow-changed-recipe to go on with it, which resumes.jsonl will say",
			strings.Join(changed.recipe, ", "), recorded)
	}
	return changed, nil
}

// overlay lays flags over --set over the environment over cfg; fromEnv tells
// which flags the environment may give.
func overlay(c *cli.Context, cfg *config.Config, fromEnv func(flag string) bool) error {
	// The command line's flags are set too, and come again at the end.
	applyFlags(c, cfg, func(flag string) bool { return c.IsSet(flag) && fromEnv(flag) })
	if err := setAll(cfg, c.StringSlice("set")); err != nil {
		return err
	}
	applyFlags(c, cfg, func(flag string) bool { return given(c, flag) })
	return nil
}

// applyFlags lays the flags that set tells of over cfg.
func applyFlags(c *cli.Context, cfg *config.Config, set func(flag string) bool) {
	text := func(flag string, into *string) {
		if set(flag) {
			*into = c.String(flag)
		}
	}
	list := func(flag string, into *[]string) {
		if set(flag) {
			*into = c.StringSlice(flag)
		}
	}
	list("server", &cfg.Server)
	text("share", &cfg.Publish.Share)
	list("agent", &cfg.Publish.Agents)
	text("served-model", &cfg.Served)
	list("validation", &cfg.Validation.Data)
	text("model", &cfg.Model)
	text("data", &cfg.Data)
	text("out", &cfg.Out)
	text("device", &cfg.Trainer.Device)
	text("dtype", &cfg.Trainer.DType)
	text("sync", &cfg.Publish.Sync)
	if set("allow-retokenized") {
		cfg.Sampling.AllowRetokenized = c.Bool("allow-retokenized")
	}
	if set("steps") {
		cfg.Steps = c.Int("steps")
	}
	if set("seed") {
		cfg.Seed = c.Int64("seed")
	}
	if set("threads") {
		cfg.Trainer.Threads = c.Int("threads")
	}
}

// absolute makes every path of a run independent of where it is started: it
// may be resumed elsewhere, and the server has a working directory of its own.
func absolute(cfg *config.Config) error {
	paths := []*string{&cfg.Model, &cfg.Data, &cfg.Out, &cfg.Publish.Dir, &cfg.Update.Reference}
	for i := range cfg.Validation.Data {
		paths = append(paths, &cfg.Validation.Data[i])
	}
	// A program without a slash is looked up in PATH; of its arguments, those are paths that are files here.
	commands := [][]*string{{&cfg.Reward.Python}, pointers(cfg.Reward.Command), pointers(cfg.Notify.Command)}
	for _, command := range commands {
		for i, p := range command {
			if st, err := os.Stat(*p); err == nil && st.Mode().IsRegular() && (i > 0 || strings.Contains(*p, "/")) {
				paths = append(paths, p)
			}
		}
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func pointers(list []string) (all []*string) {
	for i := range list {
		all = append(all, &list[i])
	}
	return all
}

// changes are the settings in which a resumed run is not what it was, each with both values.
type changes struct {
	recipe  []string // of what it learns from and how: another experiment
	conduct []string // of where, how long and how carefully it runs
}

// changesOf compares the configuration that a run has recorded with the one that it
// is resumed with.
func changesOf(recorded string, cfg config.Config) (all changes, err error) {
	before, err := config.LoadRun(recorded)
	if err == nil {
		err = absolute(&before)
	}
	if err != nil {
		return all, err
	}
	all.recipe = cfg.Differences(before.Conducted(cfg))
	for _, change := range cfg.Differences(before) {
		if !slices.Contains(all.recipe, change) {
			all.conduct = append(all.conduct, change)
		}
	}
	return all, nil
}

func syncFlag() cli.Flag {
	return &cli.StringFlag{Name: "sync", EnvVars: []string{"JUSTRL_SYNC"}, DefaultText: config.SyncAuto + ", the best that each offers", Usage: "load weights into the servers by `WAY`: " + strings.Join(config.Syncs, ", ")}
}

func allowRetokenizedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "allow-retokenized", EnvVars: []string{"JUSTRL_ALLOW_RETOKENIZED"}, DisableDefaultText: true, Usage: "train on answers of a server that gives no token ids (Ollama): they are tokenized here"}
}
