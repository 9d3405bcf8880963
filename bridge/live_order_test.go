package bridge_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

// What is refused out of order asks no server anything.
func TestAdvanceOutOfOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  func(*testing.T, *rig, *server)
		version int64
		want    string
	}{
		{"before Start", func(*testing.T, *rig, *server) {}, 1, "Advance before Start"},
		{"the version that is live", func(t *testing.T, r *rig, _ *server) { mustStart(t, r, 5) }, 5, "version 5 after version 5: versions must rise"},
		{"an older version", func(t *testing.T, r *rig, _ *server) { mustStart(t, r, 5) }, 4, "version 4 after version 5: versions must rise"},
		{"after a Start that failed", func(t *testing.T, r *rig, s *server) {
			s.fail = failOn("load", errLoad)
			if _, err := r.start(t, 1, 0); !errors.Is(err, errLoad) {
				t.Fatal(err)
			}
		}, 2, "Advance before Start"},
		{"after an Advance that failed", func(t *testing.T, r *rig, s *server) {
			mustStart(t, r, 1)
			s.fail = failOn("load", errLoad)
			if _, err := r.advance(t, 2, 0.1); !errors.Is(err, errLoad) {
				t.Fatal(err)
			}
		}, 3, "Advance before Start"},
		{"after a second Start that failed: the servers may serve anything", func(t *testing.T, r *rig, s *server) {
			mustStart(t, r, 1)
			s.fail = failOn("load", errLoad)
			if _, err := r.start(t, 2, 0.1); !errors.Is(err, errLoad) {
				t.Fatal(err)
			}
		}, 3, "Advance before Start"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			s := newServer(d)
			r := newRig(t, d, s)
			c.before(t, r, s)
			live := r.Live()
			s.fail, s.calls = nil, nil
			report, err := r.advance(t, c.version, 0.1)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(s.calls) > 0 || r.Live() != live || report.Passed || report.Servers != nil {
				t.Errorf("asked %v, live %+v, report %+v", s.calls, r.Live(), report)
			}
		})
	}
}

func mustStart(t *testing.T, r *rig, version int64) {
	t.Helper()
	if _, err := r.start(t, version, 0); err != nil {
		t.Fatal(err)
	}
}

// After any failure a Start makes all good again, and measures from there.
func TestStartAgain(t *testing.T) {
	d := depot{}
	a, b := newServer(d), newServer(d)
	r := started(t, d, a, b)
	a.fail, b.fail = failOn("load", errLoad), failOn("score", errScore)
	if _, err := r.advance(t, 2, 0.1); !errors.Is(err, errLoad) || !errors.Is(err, errScore) || r.events() != "" {
		t.Fatalf("%v, told %s", err, r.events())
	}
	// b was replaced by one in bf16.
	a.fail, b.fail = nil, nil
	b.spoil = func(scores [][]float32) {
		for _, seq := range scores {
			for t := range seq {
				seq[t] += 0.02 * float32(t%3-1)
			}
		}
	}
	mustStart(t, r, 3)
	for v := int64(4); v < 8; v++ {
		if report, err := r.advance(t, v, 0.1); err != nil || report.Servers[0].Error+report.Servers[1].Error != "" {
			t.Fatalf("version %d: %v (%+v)", v, err, report)
		}
	}
	if r.Live().Version != 7 || a.model.Theta != r.trainer.Theta || b.model.Theta != r.trainer.Theta {
		t.Errorf("live is %+v", r.Live())
	}
}

// brokenTrainer scores until it is told to fail.
type brokenTrainer struct {
	*bridgetest.Model
	err error
}

func (b *brokenTrainer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.Model.Score(ctx, seqs)
}

func TestATrainerThatCannotScore(t *testing.T) {
	d := depot{}
	s := newServer(d)
	m := theta0
	trainer := &brokenTrainer{Model: &m, err: errScore}
	b, err := bridge.New(bridge.Options{
		Deployments: []bridge.Deployment{{Name: "http://s0", Publisher: s, Server: s}}, Trainer: trainer, Probes: bridgetest.Probes(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(t.Context(), d.publish(1, m)); !errors.Is(err, errScore) || !strings.Contains(err.Error(), "with the trainer") || len(s.calls) > 0 {
		t.Errorf("Start: %v, asked %v", err, s.calls)
	}
	trainer.err = nil
	if _, err := b.Start(t.Context(), d.publish(1, m)); err != nil {
		t.Fatal(err)
	}
	trainer.err, s.calls = errScore, nil
	m = m.Moved(0.1)
	next := d.publish(2, m)
	if _, err := b.Advance(t.Context(), next); !errors.Is(err, errScore) || !strings.Contains(err.Error(), "with the trainer") || len(s.calls) > 0 {
		t.Errorf("Advance: %v, asked %v", err, s.calls)
	}
	trainer.err = nil
	if _, err := b.Advance(t.Context(), next); err != nil || b.Live() != next { // no server was touched
		t.Errorf("Advance again: %v, live %+v", err, b.Live())
	}
}
