package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = (*Command)(nil)

// Command asks a program of the user's own. It is started once and lives on:
// for each pair it gets one line
//
//	{"id": 7, "response": "…", "ground_truth": "…"}
//
// on its standard input and answers with one line of at most 1 MiB,
//
//	{"id": 7, "score": 0.5, "correct": true, "answer": "…"}   or   {"id": 7, "error": "…"}
//
// on its standard output, flushed, with nothing else on it; correct (else: a
// score above 0) and answer may be missing. It ends when its input does. What it
// writes to standard error is shown when it dies.
//
// Several copies run at a time, each started when it is first needed and given one
// pair at a time, in a process group of its own. One that is not done when ctx
// ends is killed with all of its group; so is one that died or broke the rules,
// and the next pair gets a new one. Safe for concurrent use.
//
// On Linux a copy is killed when this process is, even by SIGKILL, which lets
// nobody clean up. What can still survive that: processes that a copy has started
// itself, unless they end with it or with its pipes; and, always, those it has
// put into a session or group of their own. Elsewhere a copy that hangs survives too.
type Command struct {
	argv   []string
	places chan *process // free ones; nil is one where none runs
	all    int
	ids    atomic.Uint64
	close  sync.Once
	closed chan struct{}
}

// NewCommand finds the program, and starts nothing. Up to copies of it, at
// least 1, will run. The caller closes it.
func NewCommand(argv []string, copies int) (*Command, error) {
	if len(argv) == 0 {
		return nil, errors.New("verifier: the command is empty")
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	c := &Command{argv: argv, places: make(chan *process, copies), all: copies, closed: make(chan struct{})}
	for range copies {
		c.places <- nil
	}
	return c, nil
}

// Verify blocks until a copy is free and has answered, or ctx ends, which is
// an error with [sampler.ErrVerifyTimeout] where it was a deadline's.
func (c *Command) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	var p *process
	select {
	case p = <-c.places:
	case <-ctx.Done():
		return sampler.Score{}, c.failed(ctx, context.Cause(ctx))
	case <-c.closed:
		return sampler.Score{}, errors.New("verifier: the command has been closed")
	}
	s, p, err := c.ask(ctx, p, request{c.ids.Add(1), text, truth})
	c.places <- p
	if err != nil {
		return sampler.Score{}, c.failed(ctx, err)
	}
	return s, nil
}

// ask returns the process that the next pair may have, nil if that needs a new one.
func (c *Command) ask(ctx context.Context, p *process, r request) (s sampler.Score, next *process, err error) {
	if p == nil {
		if p, err = startProcess(c.argv); err != nil {
			return s, nil, err
		}
	}
	line, err := p.ask(ctx, r)
	if err != nil {
		if died := p.kill(); context.Cause(ctx) != nil {
			err = context.Cause(ctx)
		} else {
			err = fmt.Errorf("%w (%s)", err, died)
		}
		return s, nil, err
	}
	var got reply
	if err = json.Unmarshal(line, &got); err != nil {
		err = fmt.Errorf("its line is no JSON object of a verdict (nothing else may be written to standard output): %q", short(string(line)))
	} else if !got.is(r.ID) {
		err = fmt.Errorf("it answers request %s, asked was %d", short(string(got.ID)), r.ID)
	}
	if err != nil { // nobody knows what it would answer next
		p.kill()
		return s, nil, err
	}
	s, err = got.judgement()
	return s, p, err
}

func (c *Command) failed(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", sampler.ErrVerifyTimeout, err)
	}
	return fmt.Errorf("verifier %s: %w", c.argv[0], err)
}

// Close waits for the pairs under way, ends the input of every copy, and kills
// what has not ended two seconds later. It is safe to call twice.
func (c *Command) Close() error {
	c.close.Do(func() {
		close(c.closed)
		var running sync.WaitGroup
		for range c.all {
			if p := <-c.places; p != nil {
				running.Go(p.end)
			}
		}
		running.Wait()
	})
	return nil
}
