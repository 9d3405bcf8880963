package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/grade"
)

// measurement is one evaluation: eval's, or one of a sweep's.
type measurement struct {
	model       string // as results have it
	sampling    evaluate.Sampling
	cells       []*evaluate.Cell
	asker       evaluate.Asker
	concurrency int
	servers     []evaluate.ServerInfo
	found       func() evaluate.Findings
	rules       rules
	jury        juryOptions
	out         string
	shown       *evalProgress
	answered    func(*evaluate.Cell, benchmarks.Generation) // of each new answer, beside shown
}

// maxVerifierErrors is the share of an evaluation's answers that its verifier may fail on.
const maxVerifierErrors = 0.05

// do samples what is missing, grades all, and writes the results into out.
func (m measurement) do(ctx context.Context) (report evalReport, err error) {
	settings, err := evaluate.NewSettings(m.model, m.sampling, m.cells)
	if err != nil {
		return report, usage(err)
	}
	record := evaluate.Record{Settings: settings, Began: time.Now().UTC().Truncate(time.Second), Version: version(), Servers: m.servers, Grading: map[string]any{"rules": m.rules.by()}}
	before, _ := evaluate.ReadRecord(m.out) // Joined says what is wrong with one
	if _, err = record.Joined(m.out); err != nil {
		return report, usage(err)
	}
	if err := m.gather(before); err != nil {
		return report, err
	}
	if record, err = record.Join(m.out); err != nil {
		return report, usage(err)
	}
	if err := writeColumns(m.out, m.cells); err != nil {
		return report, err
	}
	jury, err := openJury(ctx, m.jury, m.out, m.sampling.MaxTokens, m.shown)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, jury.Close()) }()
	grader := &grade.Grader{Verifier: m.rules.verifier, Fatal: isGone, MaxErrors: maxVerifierErrors}
	if jury != nil {
		grader.Judge = jury.judge
		record.Grading["judge"] = jury.info
		if err := record.Write(m.out); err != nil {
			return report, err
		}
	}
	if was, is := gradedHow(before.Grading), gradedHow(record.Grading); before.Finished != nil && was != is {
		m.shown.Notice("%s was graded by %s: its results are replaced by those of %s", m.out, was, is)
	}
	e := evaluate.Evaluation{
		Asker: m.asker, Grader: grader, Cells: m.cells, Sampling: m.sampling, Concurrency: m.concurrency, Grading: gradingAtOnce(grader),
		OnKnown: m.shown.Known, OnVerdict: m.shown.Verdict,
		OnAnswer: func(c *evaluate.Cell, g benchmarks.Generation) {
			m.shown.Answer(c, g)
			if m.answered != nil {
				m.answered(c, g)
			}
		},
	}
	results, err := e.Run(ctx)
	record.Found = m.found()
	m.shown.Found(record.Found, m.servers)
	if jury != nil {
		record.Grading["judged"] = jury.judge.Stats()
		jury.nonsense(m.shown)
	}
	if err != nil {
		return report, errors.Join(err, record.Write(m.out))
	}
	if report, err = finishEval(results, record, m.rules.by(), m.out, m.shown.Notice); err != nil {
		return report, err
	}
	return report, m.tidy()
}

// gradedHow is who decides by a record's word.
func gradedHow(grading map[string]any) string {
	b, err := json.Marshal(grading)
	if err != nil {
		return ""
	}
	var g struct {
		Rules struct{ Verifier string }
		Judge *struct{ Server struct{ Model string } }
	}
	if json.Unmarshal(b, &g) != nil {
		return ""
	}
	if g.Judge == nil {
		return g.Rules.Verifier
	}
	return g.Rules.Verifier + " and the judge " + g.Judge.Server.Model
}
