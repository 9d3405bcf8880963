package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
)

// watched is an asking server that can also tell whether it serves what was loaded.
type watched struct{ *asking }

func (w watched) StillLive(ctx context.Context) error { return w.called(ctx, "watch") }

// A server that lost its weights is caught before anything is trained on what it sampled.
func TestCheckCatchesARestart(t *testing.T) {
	tag := &bridge.CanaryError{Server: "http://s1", Version: 1, Part: bridge.PartIdle, Seen: "it shows another tag"}
	for _, c := range []struct {
		name  string
		spoil func(*asking)
		seen  string
	}{
		{"by its log-probs", func(a *asking) { a.model = theta0.Moved(0.1) }, "without a load: it was restarted"},
		{"by its tag, though its log-probs are right", func(a *asking) { a.fail = failOn("watch", tag) }, tag.Seen},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := depot{}
			good, bad := newServer(d), &asking{server: newServer(d)}
			r := started(t, d, good, watched{bad})
			if err := r.Check(t.Context()); err != nil {
				t.Fatalf("as it was: %v", err)
			}
			c.spoil(bad)
			err := r.Check(t.Context())
			var lie *bridge.CanaryError
			if !errors.As(err, &lie) || lie.Part != bridge.PartIdle || lie.Version != 1 || lie.Server != "http://s1" || !strings.Contains(lie.Seen, c.seen) {
				t.Errorf("error %v, want a CanaryError of part idle, version 1 and %q", err, c.seen)
			}
			bad.fail, good.calls, bad.calls = nil, nil, nil
			for what, err := range map[string]error{"Advance": second(r.advance(t, 2, 0.1)), "Check": r.Check(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), what+" before Start") {
					t.Errorf("%s afterwards: %v", what, err)
				}
			}
			if len(good.calls)+len(bad.calls) > 0 || r.Live().Version != 1 {
				t.Errorf("asked %v and %v, live %+v", good.calls, bad.calls, r.Live())
			}
			mustStart(t, r, 3)
			if err := r.Check(t.Context()); err != nil {
				t.Errorf("after another start: %v", err)
			}
			if _, err := r.advance(t, 4, 0.1); err != nil {
				t.Errorf("a step after another start: %v", err)
			}
		})
	}
}

func second[A any](_ A, err error) error { return err }

func TestCheckBeforeStart(t *testing.T) {
	s := newServer(depot{})
	r := newRig(t, s.depot, s)
	if err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "Check before Start") || len(s.calls) > 0 {
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
			if err := r.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
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

// A Check that was not answered says nothing about the weights.
func TestCheckThatIsNotAnswered(t *testing.T) {
	for _, kind := range []string{"watch", "score", "sums"} {
		t.Run(kind, func(t *testing.T) {
			d := depot{}
			good, bad := newServer(d), &asking{server: newServer(d), sums: map[string]string{}}
			r := started(t, d, good, watched{bad})
			if err := r.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			bad.fail = failOn(kind, fmt.Errorf("%w: interrupted", errScore))
			if err := r.Check(t.Context()); !errors.Is(err, errScore) {
				t.Errorf("error %v, want %v", err, errScore)
			}
			bad.fail, good.calls = nil, nil
			if _, err := r.advance(t, 2, 0.1); err != nil {
				t.Errorf("a step afterwards: %v", err)
			}
			if diff := cmp.Diff([]string{"score", "load", "score"}, good.calls); diff != "" { // the first Check is too old to count
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}
