package cli

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward"
)

// newVerifier makes the verifier of a valid configuration. The caller calls
// close, which is never nil, when nothing is verified any more. report is told in
// lines what a user should know: libraries that are fetched, versions that differ.
func newVerifier(ctx context.Context, r config.Reward, report func(line string)) (v sampler.Verifier, close func() error, err error) {
	nothing := func() error { return nil }
	switch r.Verifier {
	case config.VerifierStrictBox:
		v = reward.StrictBox{}
	case config.VerifierRule:
		return newRuleGrader(ctx, r, report)
	case config.VerifierChoice:
		v = reward.Choice{}
	case config.VerifierExact:
		v = reward.Exact{IgnoreCase: r.IgnoreCase, IgnoreSpace: r.IgnoreSpace, IgnorePunctuation: r.IgnorePunctuation}
	case config.VerifierNumeric:
		v = reward.NewNumeric(r.AbsTolerance, r.RelTolerance)
	case config.VerifierF1:
		f := reward.F1{Threshold: r.Threshold}
		if f.Threshold == 0 {
			f.Threshold = 1
		}
		v = f
	case config.VerifierRegex:
		v = reward.Regex{Pattern: r.Pattern}
	case config.VerifierCommand:
		c, err := reward.NewCommand(r.Command, verifierWorkers(r))
		if err != nil {
			return nil, nothing, err
		}
		return c, c.Close, nil
	case config.VerifierHTTP:
		h, err := reward.NewHTTP(r.URL, verifierWorkers(r))
		if err != nil {
			return nil, nothing, err
		}
		return h, h.Close, nil
	default:
		return nil, nothing, r.Validate()
	}
	return v, nothing, nil
}

// verifierLimit bounds one verification. The rule grader's pairs have a limit in
// the worker that they are given; what comes before that is waiting for one, maybe
// for one that starts again, and says nothing about the pair.
func verifierLimit(r config.Reward) time.Duration {
	if r.Verifier == config.VerifierRule {
		return 10 * time.Minute
	}
	return time.Duration(r.Timeout)
}

// verifierWorkers is how many verifications run at a time.
func verifierWorkers(r config.Reward) int {
	if r.Workers > 0 {
		return r.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// verifierFlags are those of a command that scores without a run.
func verifierFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", EnvVars: []string{"JUSTRL_CONFIG"}, Usage: "take the verifier, and what it needs, from YAML `FILE` of a run"},
		&cli.StringFlag{Name: "verifier", EnvVars: []string{"JUSTRL_VERIFIER"}, Value: config.VerifierRule, Usage: "`NAME` of the verifier: " + strings.Join(config.Verifiers(), ", ")},
		&cli.StringSliceFlag{Name: "set", Usage: "set one `KEY=VALUE` of the verifier, like reward.abs_tolerance=0.01; may be repeated"},
		&cli.StringFlag{Name: "python", EnvVars: []string{"JUSTRL_PYTHON"}, DefaultText: "one of its own", Usage: "interpreter at `PATH` for the rule grader"},
	}
}

// gradingConfig is what --config, --set and the flags of a command without a run
// say, whose keys are those of the sections; the verifier is that of --verifier,
// else that of the file's held-out answers, else the flag's default.
func gradingConfig(c *cli.Context, sections ...string) (config.Config, error) {
	cfg, err := resolve("", c.String("config"), nil)
	if err != nil {
		return cfg, usage(err)
	}
	if c.String("config") == "" || c.IsSet("verifier") {
		cfg.Reward.Verifier = c.String("verifier")
	} else {
		cfg.Reward = cfg.ValidationReward()
	}
	for _, s := range c.StringSlice("set") {
		if section, _, _ := strings.Cut(s, "."); !slices.Contains(sections, section) {
			return cfg, usagef("--set %s: only keys of %s are for %s", s, strings.Join(sections, " and "), c.Command.Name)
		}
	}
	if err := setAll(&cfg, c.StringSlice("set")); err != nil {
		return cfg, usage(err)
	}
	if c.IsSet("verifier") {
		cfg.Reward.Verifier = c.String("verifier")
	}
	if p := c.String("python"); p != "" && cfg.Reward.Verifier == config.VerifierRule {
		cfg.Reward.Python = p
	}
	return cfg, nil
}

// rules are an open verifier and what it is called.
type rules struct {
	name     string
	verifier *grade.Limited
}

// openRules makes the verifier of a section that may be wrong, with so many
// workers whichever it is; 0 is what the section says. The caller calls close.
func openRules(c *cli.Context, r config.Reward, workers int) (_ rules, close func() error, err error) {
	if err := r.Validate(); err != nil {
		return rules{}, nil, usage(err)
	}
	r.Workers = cmp.Or(workers, r.Workers)
	v, close, err := newVerifier(c.Context, r, lines(c.App.ErrWriter))
	if err != nil {
		return rules{}, nil, err
	}
	return rules{r.Verifier, grade.Limit(v, verifierWorkers(r), verifierLimit(r))}, close, nil
}

// by is what results say of them.
func (r rules) by() gradedBy {
	return gradedBy{Program: version(), Verifier: r.name, Versions: r.verifier.Versions()}
}

// other is the verifier that training's verdicts are compared with: of the strict
// box and the rule grader the one that it is not. The grader, which has processes
// to start, only where validation has brought it; nil where there is none.
func other(cfg config.Config, training, validation sampler.Verifier) sampler.Verifier {
	switch cfg.Reward.Verifier {
	case config.VerifierRule:
		return reward.StrictBox{}
	case config.VerifierStrictBox:
		if cfg.ValidationReward().Verifier == config.VerifierRule && validation != training {
			return validation
		}
	}
	return nil
}
