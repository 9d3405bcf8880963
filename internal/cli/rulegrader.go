package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/reward/rule"
	"github.com/justrl/justrl/sampler/reward/sympy"
)

// ruleGrader is the rule grader with the interpreter behind it.
type ruleGrader struct {
	rule.Grader
	pool *sympy.Pool
}

// newRuleGrader makes the rule grader, whose algebra is in r.Workers processes
// of r.Python. A pair may take r.Timeout, or the pool's own limit where that is
// shorter: what sympy has not found by then it hardly ever finds.
func newRuleGrader(ctx context.Context, r config.Reward, report func(line string)) (v sampler.Verifier, close func() error, err error) {
	pool, err := sympy.Open(ctx, sympy.Options{
		Workers: r.Workers, Python: r.Python, Report: report,
		TimeLimit: min(sympy.DefaultTimeLimit, time.Duration(r.Timeout)),
	})
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // not what it kept from being started
		}
		return nil, func() error { return nil }, err
	}
	return &ruleGrader{Grader: rule.Grader{Algebra: pool}, pool: pool}, pool.Close, nil
}

// Versions are those that verdicts depend on, and what the workers were confined by.
func (g *ruleGrader) Versions() map[string]string {
	v := g.pool.Versions()
	return map[string]string{"python": v.Python, "sympy": v.Sympy, "mpmath": v.Mpmath, "pylatexenc": v.Pylatexenc, "confinement": strings.Join(g.pool.Confinement(), " ")}
}

// lines writes each line that it is told to w.
func lines(w io.Writer) func(string) {
	return func(line string) { _, _ = fmt.Fprintln(w, "justrl: "+line) }
}
