package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/bridge"
)

var errLoad, errScore = errors.New("the reload failed"), errors.New("the scoring failed")

func TestNewRefuses(t *testing.T) {
	whole := func() bridge.Options {
		s := newServer(nil)
		return bridge.Options{
			Deployments: []bridge.Deployment{{Name: "http://s0", Publisher: s, Server: s}},
			Trainer:     &theta0, Probes: [][]int32{{1, 2}},
		}
	}
	if _, err := bridge.New(whole()); err != nil {
		t.Fatalf("the least that it needs: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*bridge.Options)
		want  string
	}{
		{"no deployment", func(o *bridge.Options) { o.Deployments = nil }, "needs a deployment"},
		{"no trainer", func(o *bridge.Options) { o.Trainer = nil }, "a trainer to compare it with"},
		{"no publisher", func(o *bridge.Options) { o.Deployments[0].Publisher = nil }, "deployment 0 (http://s0) needs"},
		{"no scorer", func(o *bridge.Options) { o.Deployments[0].Server = nil }, "deployment 0 (http://s0) needs"},
		{"two of one name", func(o *bridge.Options) { o.Deployments = append(o.Deployments, o.Deployments[0]) }, "two deployments are called http://s0"},
		{"no probes: nothing would ever be checked", func(o *bridge.Options) { o.Probes = nil }, "needs probes"},
		{"a probe of one token has no log-prob", func(o *bridge.Options) { o.Probes = [][]int32{{1, 2}, {3}} }, "probe 1 has 1 tokens"},
	} {
		o := whole()
		c.spoil(&o)
		if _, err := bridge.New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// Every server is loaded and proved, and the report says what was seen.
func TestStartAndAdvance(t *testing.T) {
	d := depot{}
	a, b := newServer(d), newServer(d)
	r := newRig(t, d, a, b)
	if live := r.Live(); live != (bridge.Snapshot{}) {
		t.Errorf("live before Start: %+v", live)
	}
	one := 1.0
	for _, c := range []struct {
		name    string
		take    func(*testing.T, int64, float64) (bridge.Report, error)
		by      float64
		changed bool
		want    bridge.ServerReport
	}{
		{"start", r.start, 0, true, bridge.ServerReport{EqualTokens: 102}},
		{"a step", r.advance, 0.05, true, bridge.ServerReport{Direction: &one}},
		{"a step that changes nothing", r.advance, 0, false, bridge.ServerReport{EqualTokens: 102}},
		{"a step too small to be told", r.advance, 1e-12, true,
			bridge.ServerReport{EqualTokens: 102, Inconclusive: []bridge.Part{bridge.PartOwn, bridge.PartDirection}}},
	} {
		version := r.Live().Version + 1
		report, err := c.take(t, version, c.by)
		if err != nil {
			t.Fatalf("%s: %v (%+v)", c.name, err, report)
		}
		if c.want.Tokens = 102; c.want.Inconclusive == nil {
			c.want.Inconclusive = []bridge.Part{}
		}
		want := bridge.Report{Version: version, Passed: true, Changed: c.changed, Servers: []bridge.ServerReport{c.want, c.want}}
		want.Servers[0].Server, want.Servers[1].Server = "http://s0", "http://s1"
		if diff := cmp.Diff(want, report, cmpopts.EquateApprox(0, 1e-9),
			cmpopts.IgnoreFields(bridge.ServerReport{}, "ServerMoved", "TrainerMoved", "LoadS", "CanaryS")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		for _, s := range report.Servers {
			if moved := c.by > 1e-9; moved != (s.ServerMoved > 0) || moved != (s.TrainerMoved > 0) {
				t.Errorf("%s: %+v", c.name, s)
			}
		}
		if r.Live() != (bridge.Snapshot{Dir: "/depot", Version: version, SHA256: r.Live().SHA256}) || a.model.Theta != r.trainer.Theta || b.model.Theta != r.trainer.Theta {
			t.Errorf("%s: live is %+v", c.name, r.Live())
		}
	}
}

// A load that was begun is brought to its end, whatever happens elsewhere: half-way is where a server breaks.
func TestOneFailureStopsNoOther(t *testing.T) {
	for name, first := range map[string]bool{"Start": true, "Advance": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := depot{}
				bad, good := newServer(d), newServer(d)
				r, take := newRig(t, d, bad, good), (*rig).start
				if !first {
					if _, err := r.start(t, 1, 0); err != nil {
						t.Fatal(err)
					}
					take = (*rig).advance
				}
				r.events()
				bad.fail = failOn("load", errLoad)
				good.fail = func(ctx context.Context, kind string, _ int) error {
					if kind == "load" {
						synctest.Wait() // until the other has failed and all that follows has happened
					}
					return ctx.Err()
				}
				report, err := take(r, t, 2, 0.05)
				if err != nil {
					t.Errorf("with one that is live: %v", err)
				}
				if good.model.Theta != r.trainer.Theta {
					t.Error("the other server was not loaded")
				}
				if r.Live().Version != 2 || r.events() != "fenced http://s0, live http://s1 2" || !errors.Is(r.fenced["http://s0"], errLoad) {
					t.Errorf("live is %+v, fenced %v", r.Live(), r.fenced)
				}
				if s := report.Servers; !report.Passed || s[0].Error != errLoad.Error() || s[0].Server != "http://s0" || s[1].Error != "" || s[1].Tokens != 102 {
					t.Errorf("report %+v", report)
				}
			})
		})
	}
}

// failOn fails every call of a kind.
func failOn(kind string, err error) func(context.Context, string, int) error {
	return func(_ context.Context, k string, _ int) error {
		if k == kind {
			return err
		}
		return nil
	}
}

func TestAllFailuresAreTold(t *testing.T) {
	d := depot{}
	a, b := newServer(d), newServer(d)
	r := started(t, d, a, b)
	a.fail, b.fail = failOn("load", errLoad), failOn("score", errScore)
	report, err := r.advance(t, 2, 0.05)
	if !errors.Is(err, errLoad) || !errors.Is(err, errScore) || !strings.Contains(err.Error(), "server http://s1") {
		t.Errorf("error %v, want both and where", err)
	}
	if report.Version != 2 || report.Passed || !report.Changed || report.Servers[0].Error == "" || report.Servers[1].Error == "" {
		t.Errorf("report %+v", report)
	}
	got, err := json.Marshal(report.Servers[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"server":"http://s1","error":"score the probes with server http://s1: the scoring failed","inconclusive":[],"tokens":0`; !strings.HasPrefix(string(got), want) {
		t.Errorf("record %s\nwant     %s", got, want)
	}
}

// What a step of the canary needs, it asks for, and a failure ends it there.
func TestAdvanceAsksInThisOrder(t *testing.T) {
	order := []string{
		"score", "sums", // the server as it was
		"next", "next", "next", // its prefix cache filled with old weights
		"load",
		"next", "next", "next", "score", // the cache, first of all, against the same afresh
		"score", "sums",
	}
	wants := map[string]string{"score": "score the probes with server http://s0", "next": "probe the prefix cache of server http://s0"}
	for stop := range len(order) + 1 {
		d := depot{}
		s := &asking{server: newServer(d), sums: map[string]string{}}
		r := started(t, d, s)
		s.calls = nil
		s.fail = func(context.Context, string, int) error {
			if len(s.calls) == stop+1 {
				return errScore
			}
			return nil
		}
		report, err := r.advance(t, 2, 0.05)
		if diff := cmp.Diff(order[:min(stop+1, len(order))], s.calls); diff != "" {
			t.Errorf("stopped at %d (-want +got):\n%s", stop, diff)
		}
		if stop == len(order) {
			if err != nil {
				t.Errorf("all was answered: %v", err)
			}
			continue
		}
		if !errors.Is(err, errScore) || !strings.Contains(err.Error(), wants[order[stop]]) || report.Servers[0].Error != err.Error() {
			t.Errorf("stopped at %d: error %v, report %+v", stop, err, report)
		}
		if r.Live().Version != 1 {
			t.Errorf("stopped at %d: version %d is live", stop, r.Live().Version)
		}
	}
}

func TestReportOfChecksumsCacheAndTimes(t *testing.T) {
	d := depot{}
	s := &asking{server: newServer(d), sums: map[string]string{"norm": "same", "bias": "same"}, hidden: 4}
	r := newRig(t, d, s)
	first, err := r.start(t, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := first.Servers[0]; got.CacheDiffMax == nil || *got.CacheDiffMax != 0 || got.Checksums != nil || got.LoadS != 1 || got.CanaryS != 1 {
		t.Errorf("start: %+v", got)
	}
	second, err := r.advance(t, 2, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	// The clock ticks at the beginning, before the load, after it and at the end.
	if got := second.Servers[0]; got.LoadS != 1 || got.CanaryS != 2 || *got.CacheDiffMax != 0 {
		t.Errorf("advance: %+v", got)
	}
	if diff := cmp.Diff(&bridge.Checksums{Equal: 2, Changed: 1, Hidden: 4}, second.Servers[0].Checksums); diff != "" {
		t.Errorf("checksums (-want +got):\n%s", diff)
	}
	s.sums = nil // as if an older server had been started in its place
	if third, err := r.advance(t, 3, 0.05); err != nil || third.Servers[0].Checksums != nil {
		t.Errorf("without checksums: %+v, %v", third, err)
	}
}

func TestThePrefixCacheIsProved(t *testing.T) {
	old := theta0
	for _, c := range []struct {
		name  string
		start func(*asking) // before Start
		then  func(*asking) // before Advance
		want  string
	}{
		{"stale at the start", func(a *asking) { m := theta0.Moved(1); a.cached = &m }, nil, "version 1: canary (cache)"},
		{"stale after a load", func(*asking) {}, func(a *asking) { a.cached = &old }, "version 2: canary (cache)"},
		{"no number at the start: it would have no JSON", func(a *asking) { a.spoilt = float32(math.NaN()) }, nil, "the log-prob of token 4 is NaN"},
		{"no number after a load", func(*asking) {}, func(a *asking) { a.spoilt = float32(math.Inf(-1)) }, "the log-prob of token 4 is -Inf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			s := &asking{server: newServer(d)}
			c.start(s)
			r := newRig(t, d, s)
			report, err := r.start(t, 1, 0)
			if c.then != nil {
				if err != nil {
					t.Fatal(err)
				}
				c.then(s)
				report, err = r.advance(t, 2, 0.5)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if _, err := json.Marshal(report); err != nil || report.Passed {
				t.Errorf("report %+v: %v", report, err)
			}
		})
	}
}

// Last bits that move are no lie, more is; neither is scored a second time.
func TestTheSameSnapshotAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil float32 // of one token
		part  bridge.Part
		tells []bridge.Part
	}{
		{"bit-equal", 0, "", []bridge.Part{}},
		{"last bits", 1e-5, "", []bridge.Part{bridge.PartOwn}},
		{"more", 1e-3, bridge.PartOwn, []bridge.Part{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			s := newServer(d)
			r := started(t, d, s)
			s.spoil = func(scores [][]float32) {
				if slices.Contains(s.calls, "load") {
					scores[0][0] += c.spoil
				}
			}
			s.calls = nil
			report, err := r.advance(t, 2, 0)
			var lie *bridge.CanaryError
			if caught := errors.As(err, &lie) && lie.Part == c.part; caught != (c.part != "") || !caught && err != nil {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(c.tells, report.Servers[0].Inconclusive); diff != "" {
				t.Errorf("inconclusive (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"score", "load", "score"}, s.calls); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}
