// Package cli is the command line: one file a command, each of which turns
// flags into configuration and wires the packages that do the work. It is the
// only place that knows implementations; everything below sees interfaces.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Exit codes of the program.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitServer      = 3 // a server is unreachable or cannot do what the run needs
	ExitInterrupted = 130
)

// release is the version that is being worked towards.
const release = "0.1.0-devel"

// version is the release and, where the build knows it, the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = "+" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ".changed"
		}
	}
	if commit == "" {
		return release
	}
	return release + commit + changed
}

// Run executes one command line and returns the exit code. Results go to
// stdout, progress, logs and the one line of an error to stderr. Cancelling
// ctx interrupts the command, which ends cleanly.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	args = wordsLast(args)
	app := newApp(args, stdin, stdout, stderr)
	err := app.RunContext(ctx, args)
	if err == nil {
		return ExitOK
	}
	code := exitCode(ctx, err)
	if logsJSON(args) {
		failedJSON(stderr, code, err)
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintf(stderr, "justrl: %s\n", line) // nowhere is left to report a failing stderr
	}
	return code
}

func newApp(args []string, stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:            "justrl",
		Usage:           "train language models by plain GRPO against the inference servers you have",
		Version:         version(),
		HideHelpCommand: true,
		// A list flag is given once for each entry: values such as a=[1, 2] hold commas.
		DisableSliceFlagSeparator: true,
		Reader:                    stdin, Writer: stdout, ErrWriter: stderr,
		Metadata:        map[string]any{argsKey: args},
		ExitErrHandler:  func(*cli.Context, error) {}, // exit codes are Run's business
		OnUsageError:    usageError,
		CommandNotFound: nil,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q; see justrl --help", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			runCommand(), evalCommand(), sweepCommand(), serveCommand(), agentCommand(), gradeCommand(), logprobsCommand(), updateCommand(), replayCommand(), reportCommand(), exportCommand(), dataCommand(), doctorCommand(), configCommand(),
		},
	}
}

// usageFault is a mistake in the command line or the configuration.
type usageFault struct{ error }

func (u usageFault) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageFault{fmt.Errorf(format, args...)} }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageFault{err}
}

func usageError(c *cli.Context, err error, _ bool) error {
	return usagef("%s: %w; see justrl %s --help", c.Command.Name, err, c.Command.Name)
}

// wordsLast moves the words between a command and its first flag to the end,
// where the flag package wants them: justrl config PRESET --set a=b.
func wordsLast(args []string) []string {
	command := 2
	if len(args) > 2 && args[1] == "data" { // it has commands of its own
		command = 3
	}
	if len(args) <= command {
		return args
	}
	flags := slices.IndexFunc(args[command:], func(a string) bool { return strings.HasPrefix(a, "-") })
	if flags < 1 {
		return args
	}
	return slices.Concat(args[:command], args[command+flags:], args[command:command+flags])
}

// words are those of a command line that are neither flags nor their values.
func words(c *cli.Context) ([]string, error) {
	name := c.Command.Name
	for _, word := range c.Args().Slice() {
		if strings.HasPrefix(word, "-") {
			return nil, usagef("%s: %s comes after a word: flags go before the folders or after them, not on both sides; see justrl %s --help", name, word, name)
		}
	}
	return c.Args().Slice(), nil
}

// theRun is the one word RUN of a command line.
func theRun(c *cli.Context) (string, error) {
	all, err := words(c)
	if err != nil {
		return "", err
	}
	if name := c.Command.Name; len(all) != 1 {
		return "", usagef("%s needs one RUN, the folder of a run, got %q; see justrl %s --help", name, all, name)
	}
	return all[0], nil
}

// argsKey is where an app's metadata hold its command line.
const argsKey = "args"

// given tells whether a flag stands on the command line itself; urfave/cli does
// not tell that from an environment variable.
func given(c *cli.Context, flag string) bool {
	args, _ := c.App.Metadata[argsKey].([]string)
	return slices.ContainsFunc(args, func(a string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		return strings.HasPrefix(a, "-") && name == flag
	})
}

// need refuses a command line that lacks any of the flags.
func need(c *cli.Context, flags ...string) error {
	var missing []string
	for _, f := range flags {
		if !c.IsSet(f) {
			missing = append(missing, "--"+f)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return usagef("%s needs %s; see justrl %s --help", c.Command.Name, strings.Join(missing, " and "), c.Command.Name)
}

// noArguments refuses words that no flag took.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("%s takes no argument %q; see justrl %s --help", c.Command.Name, c.Args().First(), c.Command.Name)
	}
	return nil
}

func exitCode(ctx context.Context, err error) int {
	var fault usageFault
	switch {
	case errors.As(err, &fault):
		return ExitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled): // what a server had said before is not why it ended
		return ExitInterrupted
	case isServerError(err):
		return ExitServer
	case isInterrupted(ctx, err):
		return ExitInterrupted
	default:
		return ExitFailed
	}
}
