package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
)

var errDied = errors.New("connection refused")

// A server that died, and came back with whatever weights, is live again with
// those of the run; between, it is left alone.
func TestRejoin(t *testing.T) {
	for _, c := range []struct {
		name string
		die  func(*testing.T, *rig, *asking)
	}{
		{"somebody saw it die", func(_ *testing.T, r *rig, _ *asking) { r.Fence("http://s0", errDied) }},
		{"it was killed in a load", func(t *testing.T, r *rig, a *asking) {
			a.fail = failOn("load", errDied)
			if report, err := r.advance(t, 2, 0.05); err != nil || !report.Passed || report.Servers[0].Error != errDied.Error() {
				t.Fatalf("%+v, %v", report, err)
			}
			if got := r.events(); got != "fenced http://s0, live http://s1 2" || !errors.Is(r.fenced["http://s0"], errDied) {
				t.Errorf("told %s, why %v", got, r.fenced)
			}
		}},
		{"it was restarted between two steps", func(t *testing.T, r *rig, a *asking) {
			a.model = theta0.Moved(0.4)
			report, err := r.advance(t, 2, 0.05)
			var lie *bridge.CanaryError
			if err != nil || !report.Passed || !errors.As(r.fenced["http://s0"], &lie) || lie.Part != bridge.PartIdle {
				t.Fatalf("%+v, %v, fenced %v", report, err, r.fenced)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			a, b := &asking{server: newServer(d), sums: map[string]string{}}, &asking{server: newServer(d), sums: map[string]string{}}
			r := started(t, d, a, b)
			c.die(t, r, a)
			r.events()
			a.fail, a.calls = nil, nil
			a.model = theta0 // as it was started
			if _, err := r.advance(t, 3, 0.05); err != nil || len(a.calls) > 0 {
				t.Fatalf("a step without it: %v, asked %v", err, a.calls)
			}
			mustCheck(t, r)
			if r.events(); len(a.calls) > 0 {
				t.Errorf("a check without it asked %v", a.calls)
			}
			if err := r.Rejoin(t.Context(), deployment(0, a)); err != nil {
				t.Fatal(err)
			}
			if got := r.events(); got != "live http://s0 3" || a.model.Theta != r.trainer.Theta {
				t.Errorf("told %s", got)
			}
			if report, err := r.advance(t, 4, 0.05); err != nil || report.Servers[0].Error != "" || a.model.Theta != r.trainer.Theta {
				t.Errorf("a step with it: %+v, %v", report, err)
			}
			mustCheck(t, r)
			a.calls = nil
			if err := r.Rejoin(t.Context(), deployment(0, a)); err != nil || len(a.calls) > 0 {
				t.Errorf("one that is live: %v, asked %v", err, a.calls)
			}
		})
	}
}

// A server that was down when the run began comes in later.
func TestRejoinOfOneThatWasDown(t *testing.T) {
	d := depot{}
	a, b := newServer(d), newServer(d)
	r := newRigWith(t, d, func(o *bridge.Options) {
		o.Deployments = append(o.Deployments, bridge.Deployment{Name: "http://s1", Down: errDied})
	}, a)
	report, err := r.start(t, 1, 0)
	if got := r.events(); err != nil || !report.Passed || got != "live http://s0 1, fenced http://s1" || report.Servers[1].Error != "fenced: connection refused" {
		t.Fatalf("%+v, %v, told %s", report, err, got)
	}
	if _, err := r.advance(t, 2, 0.05); err != nil {
		t.Fatal(err)
	}
	if err := r.Rejoin(t.Context(), bridge.Deployment{Name: "http://s1"}); err == nil || !strings.Contains(err.Error(), "without a Publisher") {
		t.Errorf("without the rest: %v", err)
	}
	if err := r.Rejoin(t.Context(), deployment(1, b)); err != nil {
		t.Fatal(err)
	}
	if report, err := r.advance(t, 3, 0.05); err != nil || report.Servers[1].Error != "" || b.model.Theta != r.trainer.Theta {
		t.Errorf("a step with it: %+v, %v", report, err)
	}
}

// Who comes back with other weights than it acknowledged stays out.
func TestLiarsDoNotRejoin(t *testing.T) {
	coarse := func(a *asking) { // as bf16 is: 0.02 nats off, the same way each time
		a.spoil = func(scores [][]float32) {
			for _, seq := range scores {
				for t := range seq {
					seq[t] += 0.02 * float32(t%3-1)
				}
				seq[0] += 0.1
			}
		}
	}
	for _, c := range []struct {
		name  string
		begin func(*asking)
		down  bool    // when the run begins
		by    float64 // so far the trainer moves while the server is out
		back  func(*asking)
		part  bridge.Part
		want  string
	}{
		{"keeps its weights", nil, false, 0.05, func(a *asking) { a.keeps = true }, bridge.PartAgreement, "at the start it was"},
		{"keeps its weights, within what was noise at the start", coarse, false, 0.055, func(a *asking) { a.keeps = true }, bridge.PartDirection, "of the trainer's movement since the start of the run"},
		{"keeps its weights, and nobody knows its noise", nil, true, 0.02, func(a *asking) { a.keeps = true }, bridge.PartDirection, "of the trainer's movement since the start of the run"},
		{"keeps its weights, and is far off", nil, true, 0.5, func(a *asking) { a.keeps = true }, bridge.PartAgreement, "it serves other weights or another model"},
		{"keeps its weights, which only checksums tell", func(a *asking) { a.sums = map[string]string{} }, false, 1e-7, func(a *asking) { a.keeps = true }, bridge.PartOwn, "are not those that the same version had before or has on a server like it"},
		{"answers from a stale prefix cache", nil, false, 0.05, func(a *asking) { a.cached = &theta0 }, bridge.PartCache, "prefix cache of older weights"},
		{"is right", coarse, false, 0.04, func(*asking) {}, "", ""},
		{"is right, and nobody knows its noise", nil, true, 0.02, coarse, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			a, b := &asking{server: newServer(d)}, &asking{server: newServer(d)}
			if c.begin != nil {
				c.begin(a)
				c.begin(b)
			}
			r := newRigWith(t, d, func(o *bridge.Options) {
				if c.down {
					o.Deployments[0] = bridge.Deployment{Name: "http://s0", Down: errDied}
				}
			}, a, b)
			mustStart(t, r, 1)
			if _, err := r.advance(t, 2, 0); err != nil {
				t.Fatal(err)
			}
			r.Fence("http://s0", errDied)
			if _, err := r.advance(t, 3, c.by); err != nil {
				t.Fatal(err)
			}
			r.events()
			a.model = theta0
			c.back(a)
			err := r.Rejoin(t.Context(), deployment(0, a))
			if c.part == "" {
				if err != nil || r.events() != "live http://s0 3" {
					t.Fatal(err)
				}
				a.keeps = true // what was proved so far is what it is held against now
				if _, err := r.advance(t, 4, 0.1); err != nil || !lying(r.fenced["http://s0"]) {
					t.Errorf("a lie afterwards: %v, fenced %v", err, r.fenced)
				}
				return
			}
			var lie *bridge.CanaryError
			if !errors.As(err, &lie) || lie.Part != c.part || lie.Version != 3 || lie.Server != "http://s0" || !strings.Contains(lie.Seen, c.want) {
				t.Errorf("error %v, want a CanaryError of part %s and %q", err, c.part, c.want)
			}
			if got := r.events(); got != "" {
				t.Errorf("told %s", got)
			}
			a.keeps, a.cached = false, nil
			if err := r.Rejoin(t.Context(), deployment(0, a)); err != nil {
				t.Errorf("an honest one in its place: %v", err)
			}
		})
	}
}

func lying(err error) bool {
	var lie *bridge.CanaryError
	return errors.As(err, &lie)
}

// While an Advance loads, nobody joins at the version that it replaces; who
// comes back meanwhile gets the newer one.
func TestRejoinWaitsForAnAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := depot{}
		a, b := newServer(d), newServer(d)
		r := started(t, d, a, b)
		r.Fence("http://s0", errDied)
		proceed := make(chan struct{})
		// a's load of version 1 is under way when the Advance begins, and ends before that does.
		a.fail = func(_ context.Context, kind string, n int) error {
			if kind == "load" && n == 2 {
				<-proceed
			}
			return nil
		}
		rejoined := make(chan error, 1)
		go func() { rejoined <- r.Rejoin(t.Context(), deployment(0, a)) }() // the bubble waits for it
		synctest.Wait()
		b.fail = func(_ context.Context, kind string, n int) error {
			if kind == "load" && n == 2 {
				close(proceed)
				synctest.Wait() // the rejoining one has proved version 1, and waits
				if got := r.events(); got != "" {
					t.Errorf("told in the middle of an Advance: %s", got)
				}
			}
			return nil
		}
		if _, err := r.advance(t, 2, 0.05); err != nil {
			t.Fatal(err)
		}
		if err := <-rejoined; err != nil {
			t.Fatal(err)
		}
		if got := r.events(); got != "live http://s1 2, live http://s0 2" || a.model.Theta != r.trainer.Theta {
			t.Errorf("told %s", got)
		}
		if diff := cmp.Diff(3, a.count["load"]); diff != "" {
			t.Errorf("loads (-want +got):\n%s", diff)
		}
	})
}

// An Advance that has lost every server waits for one, as long as it is patient.
func TestAdvanceWaitsForOneToRejoin(t *testing.T) {
	patient := func(o *bridge.Options) { o.Patience = time.Minute }
	for name, back := range map[string]bool{"one comes back": true, "none does": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := depot{}
				a, b := newServer(d), newServer(d)
				r := newRigWith(t, d, patient, a, b)
				mustStart(t, r, 1)
				r.events()
				a.fail, b.fail = failOn("load", errDied), failOn("score", errDied)
				if back {
					go func() { // the bubble waits for it
						time.Sleep(59 * time.Second)
						synctest.Wait()
						a.fail, a.model = nil, theta0
						if err := r.Rejoin(t.Context(), deployment(0, a)); err != nil {
							t.Error(err)
						}
					}()
				}
				began := time.Now()
				report, err := r.advance(t, 2, 0.05)
				told := r.events()
				if took := time.Since(began); !back {
					if !errors.Is(err, errDied) || report.Passed || took != time.Minute || r.Live().Version != 1 {
						t.Errorf("after %s: %+v, %v", took, report, err)
					}
					return
				}
				if err != nil || !report.Passed || report.Servers[0].Error != "" || report.Servers[0].Tokens == 0 || report.Servers[1].Error == "" {
					t.Errorf("%+v, %v", report, err)
				}
				if told != "fenced http://s0, fenced http://s1, live http://s0 2" || r.Live().Version != 2 {
					t.Errorf("told %s, live %+v", told, r.Live())
				}
				mustCheck(t, r)
			})
		})
	}
	t.Run("who lied is not waited for", func(t *testing.T) {
		d := depot{}
		a := newServer(d)
		r := newRigWith(t, d, patient, a)
		mustStart(t, r, 1)
		a.model = theta0.Moved(1)
		if _, err := r.advance(t, 2, 0.05); !lying(err) {
			t.Errorf("error %v", err)
		}
	})
}

// A Check that finds nobody is no end where somebody may come back: what was
// sampled stands, and the next load waits.
func TestCheckIsPatient(t *testing.T) {
	d := depot{}
	a, b := newServer(d), newServer(d)
	r := newRigWith(t, d, func(o *bridge.Options) { o.Patience = time.Minute }, a, b)
	mustStart(t, r, 1)
	a.fail, b.model = failOn("score", errDied), theta0.Moved(1)
	others, err := r.Check(t.Context())
	if diff := cmp.Diff([]string{"http://s1"}, others); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// The only server is restarted while the trainer is at work: what it sampled was
// proved before, so that it is waited for as one that is still down.
func TestAdvanceWaitsForOneThatWasRestarted(t *testing.T) {
	for name, checked := range map[string]bool{"what it sampled is proved": true, "nobody has checked": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := depot{}
				a := &asking{server: newServer(d)}
				r := newRigWith(t, d, func(o *bridge.Options) { o.Patience = time.Minute }, a)
				mustStart(t, r, 1)
				if checked {
					mustCheck(t, r)
				}
				r.events()
				a.model = theta0.Moved(0.4)
				tag := &bridge.CanaryError{Server: "http://s0", Version: 1, Part: bridge.PartIdle, Seen: "it shows another tag"}
				a.fail = failOn("load", fmt.Errorf("load weights version 2: %w", tag))
				if !checked {
					if _, err := r.advance(t, 2, 0.05); !lying(err) || r.Live().Version != 1 {
						t.Errorf("error %v", err)
					}
					return
				}
				go func() { // the bubble waits for it
					time.Sleep(30 * time.Second)
					synctest.Wait()
					a.fail = nil
					if err := r.Rejoin(t.Context(), deployment(0, a)); err != nil {
						t.Error(err)
					}
				}()
				if report, err := r.advance(t, 2, 0.05); err != nil || !report.Passed || a.model.Theta != r.trainer.Theta {
					t.Fatalf("%+v, %v", report, err)
				}
				if told := r.events(); told != "fenced http://s0, live http://s0 2" || !lying(r.fenced["http://s0"]) {
					t.Errorf("told %s", told)
				}
				mustCheck(t, r)
			})
		})
	}
}

// Whoever waits for a server gives up when the run is interrupted.
func TestAdvanceIsNotWaitedForAfterAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := depot{}
		a := newServer(d)
		interrupt := make(chan struct{})
		r := newRigWith(t, d, func(o *bridge.Options) { o.Patience, o.GiveUp = time.Hour, interrupt }, a)
		mustStart(t, r, 1)
		a.fail = failOn("load", errDied)
		time.AfterFunc(time.Second, func() { close(interrupt) })
		began := time.Now()
		if report, err := r.advance(t, 2, 0.05); !errors.Is(err, errDied) || report.Passed || r.Live().Version != 1 || time.Since(began) != time.Second {
			t.Errorf("after %s: %+v, %v", time.Since(began), report, err)
		}
	})
}
