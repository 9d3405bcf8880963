package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
)

// evalLineEvery is how often an evaluation without a terminal says how far it is.
const evalLineEvery = 10 * time.Second

// maxNonsense is the share of a judge's verdicts from which its word is doubtful.
const maxNonsense = 0.05

// evalProgress shows an evaluation on stderr: a bar on a terminal, a line in a
// while elsewhere. Its methods are safe for concurrent use.
type evalProgress struct {
	out   io.Writer
	bars  *mpb.Progress
	bar   *mpb.Bar
	total int
	began time.Time
	title func(*evaluate.Cell) string

	lines sync.Mutex

	mu       sync.Mutex
	known    int // answers of earlier processes
	read     int // places for answers in the cells whose stores were read
	answers  int // of this one
	tokens   int
	verdicts map[*evaluate.Cell]*evalTally
	said     time.Time // the last line
	noticed  time.Time // the last retry that was shown
	closed   bool
}

type evalTally struct{ verdicts, right int }

func newEvalProgress(out io.Writer, total int) *evalProgress {
	p := &evalProgress{out: out, total: total, began: time.Now(), said: time.Now(), verdicts: map[*evaluate.Cell]*evalTally{}, title: cellTitle}
	if f, isFile := out.(*os.File); isFile && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
		p.out = p.bars // lines go above the bar
		p.bar = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.CountersNoUnit("%d/%d answers ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.label() })))
		p.bar.SetTotal(int64(total), false)
	}
	return p
}

func (p *evalProgress) label() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state()
}

// state is how it goes, in words; the lock is held.
func (p *evalProgress) state() string {
	graded, right := 0, 0
	for _, t := range p.verdicts {
		graded, right = graded+t.verdicts, right+t.right
	}
	words := fmt.Sprintf("%.1f %% right", 100*float64(right)/float64(max(graded, 1)))
	took := time.Since(p.began)
	if p.answers > 0 && took > 0 {
		left := time.Duration(float64(took) / float64(p.answers) * float64(p.total-p.known-p.answers)).Round(time.Second)
		words += fmt.Sprintf("  %.0f tok/s  eta %s", float64(p.tokens)/took.Seconds(), left)
	}
	return words
}

// Known is told of answers that were there.
func (p *evalProgress) Known(c *evaluate.Cell, n int) {
	p.mu.Lock()
	p.known, p.read = p.known+n, p.read+c.Size()
	p.mu.Unlock()
	if n > 0 {
		p.Notice("%s: %d of %d answers are there already", p.title(c), n, c.Size())
	}
	if p.bar != nil {
		p.bar.IncrBy(n)
	}
}

// Answer is told of a new one.
func (p *evalProgress) Answer(_ *evaluate.Cell, g benchmarks.Generation) {
	p.mu.Lock()
	p.answers++
	p.tokens += g.Tokens
	line := ""
	if p.bar == nil && time.Since(p.said) >= evalLineEvery {
		p.said = time.Now()
		line = fmt.Sprintf("%d/%d answers  %s", p.known+p.answers, p.total, p.state())
	}
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.Increment()
	}
	if line != "" {
		p.Notice("%s", line)
	}
}

// Verdict is told of each one, and tells of a cell's last.
func (p *evalProgress) Verdict(c *evaluate.Cell, v benchmarks.Verdict) {
	p.mu.Lock()
	t := p.verdicts[c]
	if t == nil {
		t = &evalTally{}
		p.verdicts[c] = t
	}
	t.verdicts++
	if v.Correct {
		t.right++
	}
	done := *t
	p.mu.Unlock()
	if done.verdicts == c.Size() {
		p.Notice("%s: avg@%d %.2f %%", p.title(c), c.N, 100*float64(done.right)/float64(done.verdicts))
	}
}

// Retrying is told of requests that failed and will be sent again; it shows
// one in a while, as answers fail together.
func (p *evalProgress) Retrying(err error, wait time.Duration) {
	p.mu.Lock()
	quiet := time.Since(p.noticed) < evalLineEvery
	if !quiet {
		p.noticed = time.Now()
	}
	p.mu.Unlock()
	if !quiet {
		p.Notice("trying again in %s: %v", wait.Round(time.Second), err)
	}
}

// Found warns of what makes the results others than the settings say.
func (p *evalProgress) Found(f evaluate.Findings, servers []evaluate.ServerInfo) {
	if f.Clipped > 0 {
		p.Notice("answers were cut at %d tokens and more, where the servers' context ends; start them with a larger --max-model-len", f.Clipped)
	}
	if f.Plain {
		p.Notice("%s refuses top_k, min_p and repetition_penalty: its own defaults hold", servers[0].URL)
	}
	if f.Apart {
		p.Notice("a server puts reasoning apart, so that its marks are missing in the answers; start it without a reasoning parser")
	}
}

// Left says what an evaluation that ended early has left; nothing where not all
// stores were read, as nobody knows then.
func (p *evalProgress) Left(out string) {
	p.mu.Lock()
	there, read := p.known+p.answers, p.read == p.total
	p.mu.Unlock()
	if !read {
		return
	}
	p.Notice("%d of %d answers are in %s: the same command goes on from there", there, p.total, out)
}

// Notice says something that the user should know.
func (p *evalProgress) Notice(format string, args ...any) {
	p.lines.Lock() // not mu: while a line is written, the bar may be drawn, which takes that
	defer p.lines.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...) // a lost line must not end an evaluation
}

// Close takes the bar away. It may be called twice.
func (p *evalProgress) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if p.bar != nil && first {
		p.bar.Abort(true)
		p.bars.Wait()
	}
	return nil
}

// cellTitle names a cell for people.
func cellTitle(c *evaluate.Cell) string {
	if c.Template.Name == "" {
		return c.Set
	}
	return c.Set + " (" + c.Template.Name + ")"
}
