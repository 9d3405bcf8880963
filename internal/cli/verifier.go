package cli

import (
	"context"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

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
		&cli.StringFlag{Name: "verifier", EnvVars: []string{"JUSTRL_VERIFIER"}, Value: config.VerifierRule, Usage: "`NAME` of the verifier: " + strings.Join(config.Verifiers(), ", ")},
		&cli.StringSliceFlag{Name: "set", Usage: "set one `KEY=VALUE` of the verifier, like reward.abs_tolerance=0.01; may be repeated"},
		&cli.StringFlag{Name: "python", EnvVars: []string{"JUSTRL_PYTHON"}, DefaultText: "one of its own", Usage: "interpreter at `PATH` for the rule grader"},
	}
}

// verifierOf is the verifier that verifierFlags name, with the limit on each
// pair. What a command has flags of its own for, with sets.
func verifierOf(c *cli.Context, with ...func(*config.Reward)) (r config.Reward, v sampler.Verifier, close func() error, err error) {
	cfg, err := config.Preset(config.DefaultPreset)
	if err != nil {
		return r, nil, nil, err
	}
	// That of the flag, its default too, unless --set names one and the flag is not there.
	cfg.Reward.Verifier = c.String("verifier")
	for _, s := range c.StringSlice("set") {
		if !strings.HasPrefix(s, "reward.") {
			return r, nil, nil, usagef("--set %s: only keys of reward are for %s", s, c.Command.Name)
		}
	}
	if err := setAll(&cfg, c.StringSlice("set")); err != nil {
		return r, nil, nil, usage(err)
	}
	if r = cfg.Reward; c.IsSet("verifier") {
		r.Verifier = c.String("verifier")
	}
	if p := c.String("python"); p != "" && r.Verifier == config.VerifierRule {
		r.Python = p
	}
	for _, set := range with {
		set(&r)
	}
	if err := r.Validate(); err != nil {
		return r, nil, nil, usage(err)
	}
	v, close, err = newVerifier(c.Context, r, lines(c.App.ErrWriter))
	return r, v, close, err
}
