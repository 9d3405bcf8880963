package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/orchestrator/journal"
)

// turn is a step, and what writing it down once more took.
type turn struct {
	Step    float64 `json:"step_s"`
	StepCPU float64 `json:"step_cpu_s"` // of the run's process, from the record before to this one's
	Monitor float64 `json:"monitor_s"`
	Parts   []cost  `json:"parts"`
}

// cost is of one part of a turn.
type cost struct {
	Name  string  `json:"name"`
	Clock float64 `json:"s"`
	CPU   float64 `json:"cpu_s"` // of this process, the kernel's part included
}

func (t turn) total() (all cost) {
	for _, p := range t.Parts {
		all.Clock += p.Clock
		all.CPU += p.CPU
	}
	return all
}

// measured runs o.steps steps in out, and writes each down once more in again.
func measured(ctx context.Context, o options, out, again string, stderr io.Writer) (turns []turn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.justrl, "run", "--preset", "tiny-cpu", "--model", o.model, "--data", o.data, "--out", out,
		"--steps", strconv.Itoa(o.steps), "--listen", "127.0.0.1:0")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		defer close(ended)
		return cmd.Wait()
	})
	defer func() {
		if err != nil {
			cancel()
		}
		if ran := g.Wait(); ran != nil && err == nil {
			err = fmt.Errorf("%s: %w: %s", o.justrl, ran, lastLine(said.String()))
		}
	}()
	s := &shadow{}
	defer func() { err = errors.Join(err, s.close()) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var stopped time.Duration // of the step that is being sampled
	for before := 0.0; len(turns) < o.steps; {
		steps, err := recorded(out)
		if err != nil {
			return nil, err
		}
		if len(steps) == len(turns) {
			select {
			case <-ended:
				return turns, fmt.Errorf("the run ended after %d steps", len(turns))
			case <-tick.C:
			}
			continue
		}
		began := time.Now()
		if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
			return nil, err
		}
		step := steps[len(turns)]
		used, err := processors(cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		t := turn{Step: step.Total - stopped.Seconds(), StepCPU: used - before, Monitor: step.Look}
		if t.Parts, err = s.write(ctx, out, again, step); err != nil {
			return nil, err
		}
		turns, before = append(turns, t), used
		if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
			return nil, err
		}
		stopped = time.Since(began)
		all := t.total()
		fmt.Fprintf(stderr, "step %d: %.2f s, %.2f s of processors; written down in %.1f ms, %.1f ms of processors\n", step.Step, t.Step, t.StepCPU, 1e3*all.Clock, 1e3*all.CPU)
	}
	return turns[1:], nil // the first step's processors are those of the start too
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// recorded are the steps of a run that goes on; none before it has begun.
func recorded(run string) ([]journal.Step, error) {
	return journal.All[journal.Step](journal.StepsPath(run))
}

// processors is what a process has used of them, in seconds.
func processors(pid int) (float64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// After the name, which may have anything in it: state is field 0, utime 11, stime 12, in hundredths.
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(err1, err2)
}
