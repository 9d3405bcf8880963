package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// judgeCacheName is where an evaluation keeps its judge's verdicts.
const judgeCacheName = "judge.jsonl"

// judgeTime bounds one question to a judge: it says one letter.
const judgeTime = 10 * time.Minute

// judgesAtOnce is how many answers a judge is asked about at once, and some more
// while the verifier has nothing to do.
const judgesAtOnce = 64

// gradingAtOnce is how many answers are graded at a time: enough that neither the
// verifier nor the judge has to wait for the next.
func gradingAtOnce(g *grade.Grader) int {
	n := 2 * g.Verifier.Places()
	if g.Judge != nil {
		n += judgesAtOnce
	}
	return n
}

// judgeRoom is what a judge's message and answer need beside the response.
const judgeRoom = 1024

func judgeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "judge", EnvVars: []string{"JUSTRL_JUDGE"}, Usage: "`URL` of a server whose model is asked about what the rules reject"},
		&cli.StringFlag{Name: "judge-model", EnvVars: []string{"JUSTRL_JUDGE_MODEL"}, Usage: "`NAME` of the judge on its server (default: the only one it serves)"},
		&cli.StringFlag{Name: "judge-api-key", EnvVars: []string{"JUSTRL_JUDGE_API_KEY"}, Usage: "bearer `KEY` for the judge's server"},
		&cli.StringFlag{Name: "judge-template", EnvVars: []string{"JUSTRL_JUDGE_TEMPLATE"}, DefaultText: "the paper's criteria", Usage: "`FILE` of the judge's message, with {{question}}, {{truth}}, {{response}}"},
		&cli.BoolFlag{Name: "judge-empty-question", EnvVars: []string{"JUSTRL_JUDGE_EMPTY_QUESTION"}, DisableDefaultText: true, Usage: "do not tell the judge the question, as the authors did"},
		&cli.IntFlag{Name: "judge-tail", EnvVars: []string{"JUSTRL_JUDGE_TAIL"}, DefaultText: "all", Usage: "show the judge only the last `N` characters of an answer"},
	}
}

// jury is an open judge; nil is none.
type jury struct {
	judge *judge.Judge
	info  map[string]any // for the record
	cache *judge.Cache
	e     *endpoint.Endpoint
}

// teller tells a user what comes up meanwhile.
type teller interface {
	Notice(format string, args ...any)
	Retrying(err error, wait time.Duration)
}

// juryOptions say which judge there is; without a URL there is none.
type juryOptions struct {
	url, model, apiKey string
	tls                *tls.Config
	template           string // path; "" is the paper's criteria
	emptyQuestion      bool
	tail               int
	patience           time.Duration
}

func juryOptionsOf(c *cli.Context) (juryOptions, error) {
	trusted, err := trusting(c.String("ca-file"))
	return juryOptions{
		url: c.String("judge"), model: c.String("judge-model"), apiKey: c.String("judge-api-key"), tls: trusted, template: c.String("judge-template"),
		emptyQuestion: c.Bool("judge-empty-question"), tail: c.Int("judge-tail"), patience: c.Duration("patience"),
	}, usage(err)
}

// openJury connects to the judge, if there is one; its verdicts are kept in out,
// which is made. maxTokens is what an answer has at most, 0 where nobody knows.
// What is nil can be closed.
func openJury(ctx context.Context, o juryOptions, out string, maxTokens int, shown teller) (_ *jury, err error) {
	if o.url == "" {
		return nil, nil //nolint:nilnil // no judge is no fault
	}
	tpl := judge.Default()
	if o.template != "" {
		if tpl, err = judge.Read(o.template); err != nil {
			return nil, usage(err)
		}
	}
	j := &jury{}
	if j.e, err = endpoint.New(o.url, endpoint.Options{APIKey: o.apiKey, TLS: o.tls}); err != nil {
		return nil, usage(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	found, err := evaluate.Find(ctx, j.e, o.model, probing)
	if err != nil {
		return nil, err
	}
	tail, most := o.tail, found.Info.MaxModelLen
	says := judge.MaxTokens
	if most > 0 {
		says = min(says, most)
		if tail == 0 && most < maxTokens+judgeRoom {
			shown.Notice("the judge's context of %d tokens may be too small for answers of %d: --judge-tail N shows it their last N characters", most, maxTokens)
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	if j.cache, err = judge.OpenCache(filepath.Join(out, judgeCacheName)); err != nil {
		return nil, err
	}
	j.judge, err = judge.New(judge.Options{
		Client: openai.New(j.e, endpoint.Retry{Attempt: judgeTime, Patience: o.patience, Notify: shown.Retrying}),
		Model:  found.Info.Model, Template: tpl, EmptyQuestion: o.emptyQuestion, MaxTokens: says, Tail: tail, Cache: j.cache,
	})
	if err != nil {
		return nil, err
	}
	j.info = map[string]any{"server": found.Info, "template": tpl.Text, "empty_question": o.emptyQuestion, "tail": tail}
	return j, nil
}

// Close ends the connections and closes the cache.
func (j *jury) Close() error {
	if j == nil {
		return nil
	}
	j.e.Close()
	return j.cache.Close()
}

// nonsense warns of a judge that does not judge.
func (j *jury) nonsense(shown teller) {
	if s := j.judge.Stats(); s.NonsenseShare() > maxNonsense {
		shown.Notice("the judge said neither A, B nor C of %d of %d answers (%.1f %%), which count as wrong: is it a judge?", s.Nonsense, s.Judged, 100*s.NonsenseShare())
	}
}

// judgeUsage refuses flags of a judge where there is none.
func judgeUsage(c *cli.Context) error {
	var faults []error
	if c.Int("judge-tail") < 0 {
		faults = append(faults, usagef("--judge-tail must be at least 0, is %d", c.Int("judge-tail")))
	}
	if c.String("judge") == "" {
		for _, flag := range judgeFlags() {
			if name := flag.Names()[0]; name != "judge" && given(c, name) {
				faults = append(faults, usagef("--%s is for a judge; give --judge URL", name))
			}
		}
	}
	return errors.Join(faults...)
}
