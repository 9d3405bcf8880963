package dashboard

import (
	"time"

	"github.com/justrl/justrl/orchestrator/journal"
)

// recent is how many steps' pace the time that is left is reckoned with.
const recent = 20

// doing is what the run does at the moment. Times are the process's clock.
type doing struct {
	step, planned int // step counts from 0 and is below 0 before the first
	phase         string
	began         time.Time // of the phase
	stepBegan     time.Time // of its step
	batch         int       // of the step's sampling, from 1; more than one with sampling.dynamic
	rollouts      int64     // of the phase
	tokens        int64     // of them
	took          map[string]float64
	ends          []time.Time // of the newest steps of this process
	pace          float64     // seconds a step; 0 while it is not known
}

func newDoing(o Options) doing {
	d := doing{step: len(o.Recorded) - 1, planned: o.Planned, took: map[string]float64{}}
	if n := len(o.Recorded); n > 0 {
		last := o.Recorded[n-1]
		d.took["sample"], d.took["update"], d.took["publish"] = last.Sample, last.Update, last.Publish
		for _, s := range o.Recorded[max(0, n-recent):] {
			d.pace += s.Total / float64(min(n, recent))
		}
	}
	return d
}

// Phase implements orchestrator.Observer.
func (p *Page) Phase(step int, phase string) {
	now := p.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.now
	again := d.phase == phase && d.step == step
	if d.phase != "" && !again {
		d.took[d.phase] = now.Sub(d.began).Seconds()
	}
	if phase == "sample" && !again {
		d.stepBegan, d.batch = now, 0
	}
	if phase == "sample" {
		d.batch++
	}
	d.step, d.phase, d.began, d.rollouts, d.tokens = step, phase, now, 0, 0
	p.wake()
}

// StepDone implements orchestrator.Observer.
func (p *Page) StepDone(s journal.Step, steps int) {
	now := p.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.now
	d.planned = steps
	if len(d.ends) == recent+1 {
		d.ends = append(d.ends[:0], d.ends[1:]...)
	}
	d.ends = append(d.ends, now)
	if n := len(d.ends); n > 1 { // what lies between two ends has validation and checkpoints in it
		d.pace = now.Sub(d.ends[0]).Seconds() / float64(n-1)
	} else if d.pace == 0 {
		d.pace = s.Total
	}
	p.wake()
}

// Validated implements orchestrator.Observer. The record comes after it.
func (p *Page) Validated(int, string, float64, *float64) {}

// Event implements orchestrator.Observer: the page sees the file grow.
func (p *Page) Event(journal.Event) {}

// Notice implements orchestrator.Observer.
func (p *Page) Notice(string, ...any) {}

// Rollout is told of every answer as it comes, with its tokens.
func (p *Page) Rollout(tokens int) {
	p.mu.Lock()
	p.now.rollouts++
	p.now.tokens += int64(tokens)
	p.mu.Unlock()
}

// Ended says how the run did; it is the last thing that is told.
func (p *Page) Ended(how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = how
	p.wake()
}

// wake has every client look at the state; it holds p.mu.
func (p *Page) wake() {
	p.wakes++
	for c := range p.clients {
		select {
		case c <- struct{}{}:
		default: // it is about to look
		}
	}
}
