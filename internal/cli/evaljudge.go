package cli

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// judgeCacheName is where an evaluation keeps its judge's verdicts.
const judgeCacheName = "judge.jsonl"

// judgeTime bounds one question to a judge: it says one letter.
const judgeTime = 10 * time.Minute

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

// openJury connects to the judge, if there is one; its verdicts are kept in --out.
func openJury(ctx context.Context, c *cli.Context, maxTokens int, shown *evalProgress) (_ *jury, err error) {
	if c.String("judge") == "" {
		return nil, nil //nolint:nilnil // no judge is no fault
	}
	tpl := judge.Default()
	if file := c.String("judge-template"); file != "" {
		if tpl, err = judge.Read(file); err != nil {
			return nil, usage(err)
		}
	}
	j := &jury{}
	if j.e, err = endpoint.New(c.String("judge"), endpoint.Options{APIKey: c.String("judge-api-key")}); err != nil {
		return nil, usage(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	found, err := evaluate.Find(ctx, j.e, c.String("judge-model"), probing)
	if err != nil {
		return nil, err
	}
	tail, most := c.Int("judge-tail"), found.Info.MaxModelLen
	says := judge.MaxTokens
	if most > 0 {
		says = min(says, most)
		if tail == 0 && most < maxTokens+judgeRoom {
			shown.Notice("the judge's context of %d tokens may be too small for answers of %d: --judge-tail N shows it their last N characters", most, maxTokens)
		}
	}
	if j.cache, err = judge.OpenCache(filepath.Join(c.String("out"), judgeCacheName)); err != nil {
		return nil, err
	}
	j.judge, err = judge.New(judge.Options{
		Client: openai.New(j.e, endpoint.Retry{Attempt: judgeTime, Patience: c.Duration("patience"), Notify: shown.Retrying}),
		Model:  found.Info.Model, Template: tpl, EmptyQuestion: c.Bool("judge-empty-question"), MaxTokens: says, Tail: tail, Cache: j.cache,
	})
	if err != nil {
		return nil, err
	}
	j.info = map[string]any{"server": found.Info, "template": tpl.Text, "empty_question": c.Bool("judge-empty-question"), "tail": tail}
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
