package cli

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// progress shows a run on stderr: one line a step, and on a terminal a line
// below that says what the step is doing. Where stderr is no terminal there is
// nothing but the lines. With --log json each of them is an object.
type progress struct {
	out      io.Writer
	terminal io.Writer    // that bars are on
	log      *slog.Logger // nil for text
	bars     *mpb.Progress
	bar      *mpb.Bar
	stage    *stage
	now      func() time.Time

	writing sync.Mutex // of a line

	mu      sync.Mutex
	noticed time.Time // when a retry was shown last
	began   time.Time
	first   int // step that this process began with
	started bool
	closed  bool
}

func newProgress(out io.Writer, format string, cfg config.Config, heldOut []orchestrator.HeldOut) *progress {
	p := &progress{out: out, terminal: out, now: time.Now}
	p.stage = newStage(cfg.Steps, func() time.Time { return p.now() })
	p.stage.sizes["sample"] = int64(cfg.Sampling.Batch * cfg.Sampling.N)
	for _, set := range heldOut {
		p.stage.sizes["validate"] += int64(len(set.Rows) * (cfg.Validation.N + cfg.Validation.SampledN))
	}
	switch f, isFile := out.(*os.File); {
	case format == "json":
		p.log = slog.New(slog.NewJSONHandler(out, nil))
	case isFile && term.IsTerminal(int(f.Fd())):
		p.bars = mpb.New(mpb.WithOutput(out))
		p.out = p.bars // lines go above it
		// Without a total: a bar that reaches one is complete, and stays for good.
		bar, err := p.bars.Add(0, mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			_, err := io.WriteString(w, p.stage.line(s.AvailableWidth))
			return err
		}))
		if err == nil { // it is only for bars that have come to their end
			p.bar = bar
		}
	}
	return p
}

// Phase implements orchestrator.Observer.
func (p *progress) Phase(step int, phase string) {
	p.mu.Lock()
	if !p.started && step >= 0 && phase == "sample" {
		p.started, p.first, p.began = true, step, p.now()
	}
	p.mu.Unlock()
	p.stage.enter(step, phase)
}

// Rollout is the sampler's OnRollout.
func (p *progress) Rollout(row sampler.Row, r sampler.Rollout, err error) {
	p.stage.rollout(len(r.TokenIDs))
	if err == nil {
		return
	}
	if p.log != nil {
		p.log.Warn("verifier failed", "problem", row.Problem.ID, "sample", r.Sample, "err", err)
		return
	}
	p.line("verifier failed on problem %s, sample %d: %v", row.Problem.ID, r.Sample, err)
}

// StepDone implements orchestrator.Observer.
func (p *progress) StepDone(s journal.Step, steps int) {
	p.mu.Lock()
	done := s.Step - p.first + 1
	left := time.Duration(float64(p.now().Sub(p.began)) / float64(max(done, 1)) * float64(steps-s.Step-1)).Round(time.Second)
	p.mu.Unlock()
	p.stage.left(left)
	if p.log != nil {
		var more []any
		if d := s.Drawn; d != nil {
			more = append(more, "groups_drawn", d.Groups, "groups_equal", d.EqualGroups)
		}
		if u := s.Unscored; u != nil {
			more = append(more, "unscored_errors", u.Errors, "unscored_timeouts", u.Timeouts)
		}
		p.log.With(more...).Info("step", "step", s.Step, "steps", steps, "reward", s.ScoreMean, "correct", s.Correct, "response_length", s.ResponseMean,
			"entropy", s.Entropy, "pg_loss", s.PGLoss, "grad_norm", s.GradNorm, "tokens_per_s", s.Rate, "eta_s", left.Seconds())
		return
	}
	drawn := ""
	if d := s.Drawn; d != nil {
		drawn = fmt.Sprintf("  %d of %d rows equal", d.EqualGroups, d.Groups)
	}
	if u := s.Unscored; u != nil {
		drawn += fmt.Sprintf("  unscored: %d errors, %d time-outs", u.Errors, u.Timeouts)
	}
	p.line("step %d/%d  reward %+.3f  correct %5.1f %%  length %.0f  entropy %.3f  clipped %.2f %%%s  %.0f tok/s  %.1f s  eta %s",
		s.Step+1, steps, s.ScoreMean, 100*s.Correct, s.ResponseMean, s.Entropy, 100*s.PGClipFrac, drawn, s.Rate, s.Total, left)
}

// Validated implements orchestrator.Observer.
func (p *progress) Validated(step int, set string, accuracy float64, sampled *float64) {
	if p.log != nil {
		more := []any{"step", step, "set", set, "accuracy", accuracy}
		if sampled != nil {
			more = append(more, "sampled", *sampled)
		}
		p.log.Info("validation", more...)
		return
	}
	when := "before training"
	if step >= 0 {
		when = fmt.Sprintf("after step %d", step+1)
	}
	also := ""
	if sampled != nil {
		also = fmt.Sprintf(" (%.1f %% sampled)", 100**sampled)
	}
	p.line("%s %s: %.1f %% right%s", set, when, 100*accuracy, also)
}

// Event implements orchestrator.Observer.
func (p *progress) Event(e journal.Event) {
	if p.log != nil {
		evidence := make([]any, 0, 2*len(e.Evidence))
		for _, key := range slices.Sorted(maps.Keys(e.Evidence)) {
			evidence = append(evidence, key, e.Evidence[key])
		}
		p.log.Warn("event", "step", e.Step, "signature", e.Signature, "action", e.Action, "message", e.Message, slog.Group("evidence", evidence...))
		return
	}
	p.line("%s %s after step %d: %s", e.Action, e.Signature, e.Step+1, e.Message)
}

// Retrying is told of requests that failed and will be sent again; it shows
// one in a while, as rows fail together.
func (p *progress) Retrying(err error, wait time.Duration) {
	p.mu.Lock()
	now := p.now()
	quiet := now.Sub(p.noticed) < 10*time.Second
	if !quiet {
		p.noticed = now
	}
	p.mu.Unlock()
	switch {
	case quiet:
	case p.log != nil:
		p.log.Warn("retrying", "wait_s", wait.Seconds(), "err", err)
	case wait == 0:
		p.Notice("an answer was cut and goes on after what had come of it: %v", err)
	default:
		p.Notice("trying again in %s: %v", wait.Round(time.Second), err)
	}
}

// Server tells of a server that left the run or came back, or is slow.
func (p *progress) Server(e journal.ServerEvent) {
	switch {
	case p.log != nil && e.Event == journal.ServerRejoined:
		p.log.Info("server rejoined", "server", e.Server, "weights_version", e.Version, "out_s", e.Seconds)
	case p.log != nil && e.Event == journal.ServerStraggles:
		p.log.Warn("straggler", "server", e.Server, "took_s", e.Seconds, "usual_s", e.Usual)
	case p.log != nil:
		p.log.Warn("server fenced", "server", e.Server, "reason", e.Reason)
	case e.Event == journal.ServerRejoined:
		p.line("server %s rejoined after %s with weights version %d", e.Server, time.Duration(e.Seconds*float64(time.Second)).Round(100*time.Millisecond), e.Version)
	case e.Event == journal.ServerStraggles:
		p.line("server %s is slow: a request has taken %s, where others of its length take %s; it goes on", e.Server,
			time.Duration(e.Seconds*float64(time.Second)).Round(100*time.Millisecond), time.Duration(e.Usual*float64(time.Second)).Round(100*time.Millisecond))
	default:
		p.line("server %s is fenced: nothing is asked of it until it is back and proved: %s", e.Server, e.Reason)
	}
}

// StillOut tells of a fenced server that could not be brought back yet.
func (p *progress) StillOut(name string, err error) {
	if p.log != nil {
		p.log.Warn("server not back yet", "server", name, "err", err)
		return
	}
	p.line("server %s is not back yet: %v", name, err)
}

// unreachable warns of ground truths that the verifier can accept no answer for.
func (p *progress) unreachable(set orchestrator.HeldOut) {
	n := 0
	for _, row := range set.Rows {
		if strings.Contains(row.Problem.Answer, `\boxed`) {
			n++
		}
	}
	if n > 0 {
		p.Notice("%s: %d of %d ground truths are written \\boxed{…}, which no answer equals as text: they will count as wrong", set.Name, n, len(set.Rows))
	}
}

// Listening says where the run can be looked at.
func (p *progress) Listening(url string) {
	if p.log != nil {
		p.log.Info("listening", "url", url)
		return
	}
	p.line("the run can be looked at on %s (/metrics is for Prometheus)", url)
}

// Notice says something that the user should know.
func (p *progress) Notice(format string, args ...any) {
	if p.log != nil {
		p.log.Warn(fmt.Sprintf(format, args...))
		return
	}
	p.line(format, args...)
}

// Close takes the line below away. It is safe to call twice.
func (p *progress) Close() error {
	if p.bar != nil && !p.closed {
		p.closed = true
		p.bar.Abort(true)
		p.bars.Wait()
		p.writing.Lock()
		p.out = p.terminal // what is said after the end
		p.writing.Unlock()
	}
	return nil
}

func (p *progress) line(format string, args ...any) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...) // a lost progress line must not end a run
}

func printSummary(w io.Writer, s journal.Summary, out string) error {
	_, err := fmt.Fprintf(w, "%d steps in %s: reward %+.3f → %+.3f\n", s.Steps, time.Duration(s.WallS*float64(time.Second)).Round(time.Second), s.RewardFirst, s.RewardLast)
	for _, name := range slices.Sorted(maps.Keys(s.Validation)) {
		if err != nil {
			break
		}
		v, also := s.Validation[name], ""
		if sampled, ok := s.Sampled[name]; ok {
			also = fmt.Sprintf(" (%.1f %% → %.1f %% sampled)", 100*sampled.First, 100*sampled.Last)
		}
		_, err = fmt.Fprintf(w, "%s: %.1f %% → %.1f %% right%s\n", name, 100*v.First, 100*v.Last, also)
	}
	if b := s.Best; err == nil && b != nil && b.Steps != s.Steps {
		_, err = fmt.Fprintf(w, "best by %s: %s, %.1f %% right\n", b.Of, filepath.Join(out, "checkpoints", b.Checkpoint), 100*b.Accuracy)
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "weights %s (sha256 %.12s…)\nrun %s\n", s.Model, s.WeightsSHA256, out)
	}
	return err
}
