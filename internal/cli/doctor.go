package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/updater/model"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what a server is and whether justrl run can train against it",
		Description: "A table for each server: what it speaks and serves, what it was seen to do with a few tokens, and what a run\n" +
			"would do with it, or why none can and what to change. justrl run makes the same checks at its start. With\n" +
			"--preset, --config or --set the context and the log-probs are held to that configuration too.\n" +
			"Exit code 0 if a run can use all of them, 3 otherwise.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"JUSTRL_SERVER"}, Usage: "`URL` of a server; may be repeated"},
			&cli.StringFlag{Name: "served-model", EnvVars: []string{"JUSTRL_SERVED_MODEL"}, Usage: "`NAME` of the model on the server (default: the only one it serves)"},
			modelFlag("compare with the model in `DIR`: vocabulary, and tensors where this machine sees the server's folder"),
			agentFlag(), shareTokenFlag(), syncFlag(), allowRetokenizedFlag(), presetFlag(), fileFlag(), setFlag(),
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print all that was found as JSON"},
		}, accessFlags()...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "server")); err != nil {
				return err
			}
			doc, err := newDoctor(c)
			if err != nil {
				return usage(err)
			}
			var x examined
			var faults cannotTrain
			for _, address := range c.StringSlice("server") {
				d, err := doc.diagnose(c.Context, address)
				x.Servers = append(x.Servers, d)
				if err != nil {
					faults = append(faults, err)
				}
			}
			if len(x.Servers) > 1 {
				if x.Fleet, err = together(x.Servers, doc.cfg); err != nil {
					faults = append(faults, err)
				}
			}
			if err := printExamined(c, x); err != nil {
				return err
			}
			if len(faults) > 0 {
				return faults
			}
			return nil
		},
	}
}

// newDoctor reads what a run would be.
func newDoctor(c *cli.Context) (doc doctor, err error) {
	cfg, err := resolve(c.String("preset"), c.String("config"), nil)
	if err != nil {
		return doc, err
	}
	if !c.IsSet("preset") && !c.IsSet("config") && !c.IsSet("set") { // any run
		cfg.Sampling.MaxTokens, cfg.Sampling.MaxPromptTokens, cfg.Validation.Data = 1, 1, nil
	}
	if err := overlay(c, &cfg, func(string) bool { return true }); err != nil {
		return doc, err
	}
	if err := errors.Join(cfg.Publish.CheckSync(), checkAgents(cfg)); err != nil {
		return doc, err
	}
	doc.agent = func(server string) (*endpoint.Endpoint, endpoint.Options, error) { return agentOf(c, cfg, server) }
	doc.cfg = cfg
	if cfg.Model != "" {
		if doc.cfg.Model, err = filepath.Abs(cfg.Model); err != nil {
			return doc, err
		}
		if _, err := os.Stat(cfg.Model); err != nil {
			return doc, fmt.Errorf("--model: %w", err)
		}
		if doc.spec, err = model.Load(cfg.Model); err != nil {
			return doc, err
		}
	}
	doc.how, err = access(c)
	return doc, err
}

func printExamined(c *cli.Context, x examined) error {
	if c.Bool("json") {
		return jsonLines(c.App.Writer).Encode(x)
	}
	return x.print(c.App.Writer)
}

// cannotTrain are the reasons of several servers, a line each.
type cannotTrain []error

func (e cannotTrain) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return strings.Join(lines, "\n")
}

func (e cannotTrain) Unwrap() []error { return e }
