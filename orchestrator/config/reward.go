package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The verifiers; what each of them accepts is said in package sampler/reward.
const (
	VerifierStrictBox = "strict-box" // the paper's: the last \boxed{…} equals the ground truth as a string
	VerifierRule      = "rule"       // the grader of the paper's evaluation, its ablation
	VerifierChoice    = "choice"     // a letter
	VerifierExact     = "exact"      // a text
	VerifierNumeric   = "numeric"    // a number, with tolerance
	VerifierF1        = "f1"         // shared words, as SQuAD counts them: a reward from 0 to 1
	VerifierRegex     = "regex"      // a pattern
	VerifierCommand   = "command"    // a program of the user's own
	VerifierHTTP      = "http"       // a server of the user's own
)

// Verifiers are the names that reward.verifier may have.
func Verifiers() []string {
	return []string{
		VerifierStrictBox, VerifierRule, VerifierChoice, VerifierExact, VerifierNumeric, VerifierF1, VerifierRegex, VerifierCommand, VerifierHTTP,
	}
}

// parameter is a key of [Reward] that only some verifiers have.
type parameter struct {
	key   string
	set   bool
	whose []string
}

func (r Reward) parameters() []parameter {
	one := func(v string) []string { return []string{v} }
	return []parameter{
		{"workers", r.Workers != 0, []string{VerifierRule, VerifierCommand, VerifierHTTP}},
		{"python", r.Python != "", one(VerifierRule)},
		{"ignore_case", r.IgnoreCase, one(VerifierExact)},
		{"ignore_space", r.IgnoreSpace, one(VerifierExact)},
		{"ignore_punctuation", r.IgnorePunctuation, one(VerifierExact)},
		{"abs_tolerance", r.AbsTolerance != 0, one(VerifierNumeric)},
		{"rel_tolerance", r.RelTolerance != 0, one(VerifierNumeric)},
		{"threshold", r.Threshold != 0, one(VerifierF1)},
		{"pattern", r.Pattern != "", one(VerifierRegex)},
		{"command", len(r.Command) > 0, one(VerifierCommand)},
		{"url", r.URL != "", one(VerifierHTTP)},
	}
}

// Validate reports every fault of the verifier and its parameters at once, one
// a line; nil if there is none. It looks neither for programs nor for servers.
func (r Reward) Validate() error {
	var errs []error
	must := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("reward.%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	known := slices.Contains(Verifiers(), r.Verifier)
	must(known, "verifier", "must be one of %s; is %q", strings.Join(Verifiers(), ", "), r.Verifier)
	for _, p := range r.parameters() {
		must(!p.set || !known || slices.Contains(p.whose, r.Verifier), p.key, "is for the verifier %s, and reward.verifier is %s", strings.Join(p.whose, ", "), r.Verifier)
	}
	must(r.Timeout > 0, "timeout", "must be more than 0s, is %s", time.Duration(r.Timeout))
	must(r.MaxUnscored >= 0 && r.MaxUnscored < 1, "max_unscored", "must be in [0, 1), is %g", r.MaxUnscored)
	must(r.Workers >= 0, "workers", "must be 0 (the number of CPUs) or more, is %d", r.Workers)
	must(r.AbsTolerance >= 0 && !math.IsInf(r.AbsTolerance, 0), "abs_tolerance", "must be 0 (none) or more, is %g", r.AbsTolerance)
	must(r.RelTolerance >= 0 && !math.IsInf(r.RelTolerance, 0), "rel_tolerance", "must be 0 (none) or more, is %g", r.RelTolerance)
	must(r.Threshold >= 0 && r.Threshold <= 1, "threshold", "must be in (0, 1], or 0 for 1, is %g", r.Threshold)
	if _, err := regexp.Compile(strings.ReplaceAll(r.Pattern, "{truth}", "x")); err != nil {
		errs = append(errs, fmt.Errorf("reward.pattern: %w", err))
	}
	must(r.Verifier != VerifierCommand || len(r.Command) > 0 && r.Command[0] != "", "command", "the verifier command needs a program, like [python3, verifier.py]")
	must(r.Verifier != VerifierHTTP || r.URL != "", "url", "the verifier http needs one, like http://127.0.0.1:9000/score")
	return errors.Join(errs...)
}

// ValidationReward says how held-out answers are scored: as training's are, or
// where those are by the strict box, by validation.verifier. The strict box trains
// best, and finds many sets' ground truths out of reach.
func (c Config) ValidationReward() Reward {
	r := c.Reward
	if r.Verifier == VerifierStrictBox && c.Validation.Verifier != "" {
		r.Verifier = c.Validation.Verifier
	}
	return r
}
