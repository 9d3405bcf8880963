package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
)

// watched is an asking server that can also tell whether it serves what was loaded.
type watched struct{ *asking }

func (w watched) StillLive(ctx context.Context) error { return w.called(ctx, "watch") }

// A server that lost its weights is caught before anything is trained on what
// it sampled; with another beside it the run goes on.
func TestCheckCatchesARestart(t *testing.T) {
	tag := &bridge.CanaryError{Server: "http://s0", Version: 1, Part: bridge.PartIdle, Seen: "it shows another tag"}
	for _, c := range []struct {
		name  string
		spoil func(*asking)
		seen  string
	}{
		{"by its log-probs", func(a *asking) { a.model = theta0.Moved(0.1) }, "without a load: it was restarted"},
		{"by its tag, though its log-probs are right", func(a *asking) { a.fail = failOn("watch", tag) }, tag.Seen},
	} {
		t.Run("alone, "+c.name, func(t *testing.T) {
			d := depot{}
			bad := &asking{server: newServer(d)}
			r := started(t, d, watched{bad})
			mustCheck(t, r)
			c.spoil(bad)
			others, err := r.Check(t.Context())
			caughtIdle(t, err, c.seen)
			if others != nil || r.events() != "" {
				t.Errorf("others %v, told %s: there is nothing to go on with", others, r.events())
			}
			bad.fail, bad.calls = nil, nil
			for what, err := range map[string]error{"Advance": second(r.advance(t, 2, 0.1)), "Check": second(r.Check(t.Context()))} {
				if err == nil || !strings.Contains(err.Error(), what+" before Start") {
					t.Errorf("%s afterwards: %v", what, err)
				}
			}
			if len(bad.calls) > 0 || r.Live().Version != 1 {
				t.Errorf("asked %v, live %+v", bad.calls, r.Live())
			}
			mustStart(t, r, 3)
			mustCheck(t, r)
			if _, err := r.advance(t, 4, 0.1); err != nil {
				t.Errorf("a step after another start: %v", err)
			}
		})
		t.Run("one of two, "+c.name, func(t *testing.T) {
			d := depot{}
			bad, good := &asking{server: newServer(d)}, newServer(d)
			r := started(t, d, watched{bad}, good)
			mustCheck(t, r)
			c.spoil(bad)
			others, err := r.Check(t.Context())
			if diff := cmp.Diff([]string{"http://s0"}, others); diff != "" || err != nil {
				t.Errorf("others (-want +got):\n%s%v", diff, err)
			}
			caughtIdle(t, r.fenced["http://s0"], c.seen)
			bad.calls = nil
			mustCheck(t, r)
			report, err := r.advance(t, 2, 0.1)
			if err != nil || !report.Passed || report.Servers[1].Error != "" || !strings.Contains(report.Servers[0].Error, "fenced: ") || len(bad.calls) > 0 {
				t.Errorf("a step with the other: %+v, %v; asked the fenced one %v", report, err, bad.calls)
			}
		})
	}
}

func mustCheck(t *testing.T, r *rig) {
	t.Helper()
	if others, err := r.Check(t.Context()); err != nil || others != nil {
		t.Fatalf("Check: %v, %v", others, err)
	}
}

func caughtIdle(t *testing.T, err error, seen string) {
	t.Helper()
	var lie *bridge.CanaryError
	if !errors.As(err, &lie) || lie.Part != bridge.PartIdle || lie.Version != 1 || lie.Server != "http://s0" || !strings.Contains(lie.Seen, seen) {
		t.Errorf("error %v, want a CanaryError of part idle, version 1 and %q", err, seen)
	}
}

func second[A any](_ A, err error) error { return err }

func TestCheckBeforeStart(t *testing.T) {
	s := newServer(depot{})
	r := newRig(t, s.depot, s)
	if _, err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "Check before Start") || len(s.calls) > 0 {
		t.Errorf("error %v, asked %v", err, s.calls)
	}
}

// What a Check saw is what the next load is held against, once.
func TestAdvanceAfterCheck(t *testing.T) {
	check := []string{"watch", "score", "sums"}
	fill, prove := []string{"next", "next", "next"}, []string{"next", "next", "next", "score", "score", "sums"}
	d := depot{}
	a := &asking{server: newServer(d), sums: map[string]string{"norm": "same"}, hidden: 4}
	r := started(t, d, watched{a})
	for i, checks := range []int{1, 0, 2} {
		a.calls = nil
		var want []string
		for range checks {
			want = append(want, check...)
			mustCheck(t, r)
		}
		if checks == 0 {
			want = append(want, "score", "sums")
		}
		report, err := r.advance(t, int64(i)+2, 0.05)
		if err != nil {
			t.Fatalf("load %d: %v (%+v)", i, err, report)
		}
		want = append(append(append(want, fill...), "load"), prove...)
		if diff := cmp.Diff(want, a.calls); diff != "" {
			t.Errorf("load %d asked (-want +got):\n%s", i, diff)
		}
		got := report.Servers[0]
		if diff := cmp.Diff(&bridge.Checksums{Equal: 1, Changed: 1, Hidden: 4}, got.Checksums); diff != "" || got.EqualTokens != 0 || got.ServerMoved == 0 {
			t.Errorf("load %d: %+v, checksums (-want +got):\n%s", i, got, diff)
		}
	}
}

// A Check that was not answered says nothing about the weights: the only
// server is asked again, one of several is fenced, and what it sampled stands.
func TestCheckThatIsNotAnswered(t *testing.T) {
	for _, kind := range []string{"watch", "score", "sums"} {
		t.Run("alone, "+kind, func(t *testing.T) {
			d := depot{}
			bad := &asking{server: newServer(d), sums: map[string]string{}}
			r := started(t, d, watched{bad})
			mustCheck(t, r)
			bad.fail = failOn(kind, fmt.Errorf("%w: interrupted", errScore))
			if _, err := r.Check(t.Context()); !errors.Is(err, errScore) || r.events() != "" {
				t.Errorf("error %v, want %v; told %s", err, errScore, r.events())
			}
			bad.fail, bad.calls = nil, nil
			if _, err := r.advance(t, 2, 0.1); err != nil {
				t.Errorf("a step afterwards: %v", err)
			}
			if bad.calls[0] != "score" { // the first Check is too old to count
				t.Errorf("asked %v", bad.calls)
			}
		})
		t.Run("one of two, "+kind, func(t *testing.T) {
			d := depot{}
			good, bad := newServer(d), &asking{server: newServer(d), sums: map[string]string{}}
			r := started(t, d, good, watched{bad})
			bad.fail = failOn(kind, errScore)
			mustCheck(t, r)
			if r.events() != "fenced http://s1" {
				t.Errorf("told %s", r.events())
			}
			if _, err := r.advance(t, 2, 0.1); err != nil {
				t.Errorf("a step with the other: %v", err)
			}
		})
	}
}

// An interrupt is nobody's fault; a lie that was seen before it is.
func TestCheckThatIsInterrupted(t *testing.T) {
	d := depot{}
	liar, slow, good := newServer(d), newServer(d), newServer(d)
	r := started(t, d, liar, slow, good)
	liar.model = theta0.Moved(0.1)
	ctx, cancel := context.WithCancel(t.Context())
	slow.fail = func(ctx context.Context, _ string, _ int) error { cancel(); return ctx.Err() }
	good.fail = func(context.Context, string, int) error { <-ctx.Done(); return nil }
	others, err := r.Check(ctx)
	if !errors.Is(err, context.Canceled) || !slices.Equal(others, []string{"http://s0"}) || r.events() != "fenced http://s0" {
		t.Errorf("others %v, error %v, told %s", others, err, r.events())
	}
}

// Other weights whose log-probs are within the noise are other weights: the
// server's own checksums tell.
func TestCheckComparesChecksums(t *testing.T) {
	d := depot{}
	coarse := func(scores [][]float32) { // as bf16 is
		for _, seq := range scores {
			for t := range seq {
				seq[t] += 0.02 * float32(t%3-1)
			}
		}
	}
	bad, good := &asking{server: newServer(d), sums: map[string]string{"norm": "same"}}, &asking{server: newServer(d), sums: map[string]string{"norm": "same"}}
	bad.spoil, good.spoil = coarse, coarse
	r := started(t, d, bad, good)
	if _, err := r.advance(t, 2, 0.001); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, r)
	bad.model = theta0 // it was restarted
	others, err := r.Check(t.Context())
	if diff := cmp.Diff([]string{"http://s0"}, others); diff != "" || err != nil {
		t.Fatalf("others (-want +got):\n%s%v", diff, err)
	}
	var lie *bridge.CanaryError
	if err := r.fenced["http://s0"]; !errors.As(err, &lie) || lie.Part != bridge.PartIdle || lie.Version != 2 || !strings.Contains(lie.Seen, "1 of the checksums of its 2 tensors") {
		t.Errorf("fenced because of %v", err)
	}
	if err := r.Rejoin(t.Context(), deployment(0, bad)); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, r)
}
