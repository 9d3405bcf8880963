package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/metrics"
	"github.com/justrl/justrl/orchestrator/tensorboard"
)

// shadow writes a run's steps down once more, as orchestrator.Run and internal/cli do.
type shadow struct {
	dir     *journal.Dir
	board   *tensorboard.Writer
	metrics *metrics.Metrics
	page    *follower
	failed  error // of board
}

func (s *shadow) open(ctx context.Context, run, again string) (err error) {
	info, err := journal.ReadInfo(run)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(run, "config.yaml"))
	if err != nil {
		return err
	}
	if s.dir, err = journal.Create(again, info, config); err != nil {
		return err
	}
	if s.page, err = follow(ctx, again, info); err != nil {
		return err
	}
	s.metrics = metrics.New(metrics.Options{Run: info.ID, Model: info.Model}, nil, nil, nil)
	s.board, err = tensorboard.Open(again, filepath.Join(again, tensorboard.Folder), func(err error) { s.failed = err })
	return err
}

func (s *shadow) close() (err error) {
	if s.page != nil {
		err = s.page.close()
	}
	if s.board != nil {
		err = errors.Join(err, s.board.Close())
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
	}
	return err
}

// write writes a step of run in again, part by part.
func (s *shadow) write(ctx context.Context, run, again string, step journal.Step) (parts []cost, err error) {
	if s.dir == nil {
		if err := s.open(ctx, run, again); err != nil {
			return nil, err
		}
	}
	var rollouts []journal.Rollout
	for r, err := range journal.Rollouts(run, step.Step) {
		if err != nil {
			return nil, err
		}
		rollouts = append(rollouts, r.Rollout)
	}
	handler := s.metrics.Handler()
	for _, part := range []struct {
		name  string
		waits bool // for nobody's sake: only what it takes of processors counts
		do    func() error
	}{
		{"rollouts as they finish", false, func() error { return s.partial(step.Step, rollouts) }},
		{"the step's rollouts as parquet", false, func() error { return s.dir.WriteRollouts(step.Step, rollouts) }},
		{"steps.jsonl", false, func() error { return s.dir.AppendStep(step) }},
		{"versions.json", false, func() error {
			_, err := s.dir.ReserveVersion()
			return err
		}},
		{"TensorBoard", false, func() error {
			s.board.StepDone(step, step.Step+1)
			return s.failed
		}},
		{"metrics", false, func() error {
			for _, r := range rollouts {
				s.metrics.Rollout(len(r.TokenIDs), nil)
			}
			for _, phase := range []string{"sample", "update", "publish"} {
				s.metrics.Phase(step.Step, phase)
			}
			s.metrics.StepDone(step, step.Step+1)
			return nil
		}},
		{"/metrics, once a second", false, func() error {
			for range int(math.Ceil(step.Total)) {
				req, err := http.NewRequest(http.MethodGet, "/metrics", nil) //nolint:noctx // it goes nowhere
				if err != nil {
					return err
				}
				var page reply
				if handler.ServeHTTP(&page, req); page.Len() == 0 {
					return errors.New("/metrics is empty")
				}
			}
			return nil
		}},
		// A stream rests 100 ms between two states; the run does not wait for it.
		{"the page, its stream to one who follows", true, func() error { return s.page.streamed(step, rollouts) }},
		{"curves and answers for them", false, func() error { return s.page.fetched(ctx) }},
	} {
		c, err := timed(part.name, part.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		if part.waits {
			c.Clock = c.CPU
		}
		parts = append(parts, c)
	}
	return parts, nil
}

func (s *shadow) partial(step int, rollouts []journal.Rollout) error {
	p, err := s.dir.OpenPartial(step)
	if err != nil {
		return err
	}
	for _, r := range rollouts {
		if err := p.Add(r); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

// reply is a page in memory.
type reply struct {
	bytes.Buffer
	header http.Header
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(int) {}

func timed(name string, do func() error) (cost, error) {
	began, before := time.Now(), ourProcessors()
	err := do()
	return cost{name, time.Since(began).Seconds(), ourProcessors() - before}, err
}

// ourProcessors is what this process has used of them, in seconds.
func ourProcessors() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return math.NaN() // which no bar lets pass
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
