package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/orchestrator/journal"
)

// events are a run's Servers: what is to be told, once, and what was taken back.
type events struct {
	next  []journal.ServerEvent
	taken map[string]int
	parts []journal.ServerPart // what Asked says
}

func (e *events) Asked() []journal.ServerPart {
	out := e.parts
	e.parts = nil
	return out
}

func (e *events) Events() []journal.ServerEvent {
	out := e.next
	e.next = nil
	return out
}

func (e *events) TakenBack(server string, n int) { e.taken[server] += n }

func (e *events) Waiting() []string { return []string{"http://a has 3 unanswered, the oldest for 9s"} }

// onAandB spreads the samples over two servers.
func onAandB(ordinal int64, sample int) string {
	return []string{"http://a", "http://b"}[(int(ordinal)+sample)%2]
}

// costsApart leaves out what it costs to draw rollouts twice.
func costsApart(yes bool) cmp.Option {
	if !yes {
		return cmp.Options{}
	}
	return cmpopts.IgnoreFields(journal.Cost{}, "TokensResampled", "FLOPsGenerated")
}

// What a server gave that no longer serves what it was to serve is drawn again,
// from others and under the same seeds; nothing else is, and the run ends the same.
func TestLiarsRolloutsAreDrawnAgain(t *testing.T) {
	undisturbed := &world{server: onAandB}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, dir)
	if diff := cmp.Diff([]journal.ServerPart{
		{Server: "http://a", Version: 1, Rollouts: 3, Tokens: 6}, {Server: "http://b", Version: 1, Rollouts: 3, Tokens: 6},
	}, want[0].Servers); diff != "" {
		t.Errorf("who sampled step 0 (-want +got):\n%s", diff)
	}

	for _, tc := range []struct {
		name  string
		liars map[int][]string // by the number of the Check, from 1; the first is of a validation
		taken map[string]int
		twice int
	}{
		{"one in step 1, once", map[int][]string{3: {"http://b"}}, map[string]int{"http://b": 3}, 3},
		{"one after the other in step 0", map[int][]string{2: {"http://b"}, 3: {"http://a"}}, map[string]int{"http://a": 6, "http://b": 3}, 9},
		{"both at once, and then another", map[int][]string{2: {"http://a", "http://b"}, 3: {"http://c"}}, map[string]int{"http://a": 3, "http://b": 3, "http://c": 6}, 12},
		{"one in a validation: it is measured again", map[int][]string{1: {"http://b"}}, map[string]int{}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			gone, checks := map[string]bool{}, 0
			w := &world{}
			w.server = func(ordinal int64, sample int) string {
				for _, s := range []string{onAandB(ordinal, sample), "http://a", "http://b", "http://c"} {
					if !gone[s] {
						return s
					}
				}
				return "http://d"
			}
			w.others = func() []string {
				checks++
				for _, s := range tc.liars[checks] {
					gone[s] = true
				}
				return tc.liars[checks]
			}
			r, done := newRun(t, w, testConfig(t), dir)
			e := &events{taken: map[string]int{}}
			r.Servers = e
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			if diff := cmp.Diff(tc.taken, e.taken); diff != "" {
				t.Errorf("taken back (-want +got):\n%s", diff)
			}
			twice := 0
			for _, times := range w.asked {
				twice += times - 1
			}
			if len(w.asked) != 4*2*3 || twice != tc.twice {
				t.Errorf("%d samples were asked for, and again %d times; want 24 and %d", len(w.asked), twice, tc.twice)
			}
			got, again := recordsOf(t, dir)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(journal.Step{}, "Servers"), costsApart(tc.twice > 0)); diff != "" {
				t.Errorf("the records differ (-undisturbed +got):\n%s", diff)
			}
			thrown := int64(0)
			for _, s := range got {
				thrown += s.TokensResampled
			}
			if thrown != 2*int64(tc.twice) {
				t.Errorf("%d tokens were thrown away, of %d answers of 2", thrown, tc.twice)
			}
			if tc.twice == 0 { // both measurements cost
				measured[0].Cost = measured[0].Add(measured[0].Cost)
			}
			if diff := cmp.Diff(measured, again); diff != "" {
				t.Errorf("the validations differ (-undisturbed +got):\n%s", diff)
			}
			if w.weight != undisturbed.weight {
				t.Error("the weights differ")
			}
			seen := map[string]int{}
			for step := range 4 {
				rollouts, err := journal.ReadRollouts(dir, step)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range rollouts {
					seen[fmt.Sprint(o.Group, "/", o.Sample)]++
				}
			}
			if len(seen) != 24 {
				t.Errorf("trained on %d rollouts: %v", len(seen), seen)
			}
		})
	}
}

// With dynamic sampling all rows that were drawn count, however they come out the second time.
func TestLiarsWithDynamicSampling(t *testing.T) {
	c := testConfig(t)
	c.Sampling.Dynamic, c.Sampling.MaxBatches, c.Steps = true, 5, 2
	w := &world{server: onAandB}
	pass := 0
	// Rows 0 and 1 are all right at first, and mixed when they are drawn again.
	w.verdict = func(ordinal int64, right bool) bool { return pass == 0 && ordinal < 2 || right }
	w.others = func() []string {
		if pass++; pass == 2 { // 1 is a validation
			return []string{"http://a", "http://b"}
		}
		return nil
	}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, w, c, dir)
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps, err := r.Journal.Steps()
	if err != nil {
		t.Fatal(err)
	}
	drawn := 0
	for _, s := range steps {
		drawn += s.Groups
	}
	if int64(drawn) != w.next {
		t.Errorf("%d rows are accounted for, %d were drawn", drawn, w.next)
	}
}

// What happened to servers is in the record of the step that it fell into, and
// counted in the summary.
func TestServerEventsAreRecorded(t *testing.T) {
	w := &world{}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, w, testConfig(t), dir)
	e := &events{taken: map[string]int{}}
	r.Servers = e
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fenced := journal.ServerEvent{Time: at, Server: "http://a", Event: journal.ServerFenced, Reason: "connection refused"}
	back := journal.ServerEvent{Time: at.Add(time.Minute), Server: "http://a", Event: journal.ServerRejoined, Version: 3, Seconds: 60}
	w.onUpdate = func(step int) error {
		switch step {
		case 1:
			e.next = []journal.ServerEvent{fenced}
		case 2:
			e.next = []journal.ServerEvent{back}
		}
		return nil
	}
	s, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done()
	steps, _ := recordsOf(t, dir)
	for i, want := range [][]journal.ServerEvent{nil, {fenced}, {back}, nil} {
		if diff := cmp.Diff(want, steps[i].ServerEvents); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if s.Fenced != 1 || s.Rejoined != 1 {
		t.Errorf("summary %+v", s)
	}
}

// The record of a step says of every server what it gave and what that took: of
// the one that had nothing to give, of the only one, whose rollouts do not say
// so, and nothing of what was asked for before the step.
func TestServersOfAStep(t *testing.T) {
	fenced := []journal.ServerEvent{{Server: "http://a", Event: journal.ServerFenced}, {Server: "http://a", Event: journal.ServerRejoined}, {Server: "http://a", Event: journal.ServerFenced}}
	for _, tc := range []struct {
		name   string
		server func(int64, int) string
		asked  []journal.ServerPart
		events []journal.ServerEvent
		want   []journal.ServerPart
	}{
		{"two, and one that was out", onAandB,
			[]journal.ServerPart{{Server: "http://c"}, {Server: "http://a", Seconds: 2, Retries: 3, Stragglers: 1}, {Server: "http://b", Seconds: 1}}, fenced,
			[]journal.ServerPart{
				{Server: "http://a", Version: 1, Rollouts: 3, Tokens: 6, Seconds: 2, Retries: 3, Stragglers: 1, Fenced: 2},
				{Server: "http://b", Version: 1, Rollouts: 3, Tokens: 6, Seconds: 1}, {Server: "http://c"},
			}},
		{"one", func(int64, int) string { return "" }, []journal.ServerPart{{Server: "http://a", Seconds: 2}}, nil,
			[]journal.ServerPart{{Server: "http://a", Version: 1, Rollouts: 6, Tokens: 12, Seconds: 2}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &events{taken: map[string]int{}, parts: []journal.ServerPart{{Server: "http://a", Seconds: 99}}}
			w := &world{server: tc.server}
			w.onRollout = rolloutAt(0, 0, func() error { // of step 0: validation is over
				e.parts, e.next = tc.asked, tc.events
				return nil
			})
			dir := filepath.Join(t.TempDir(), "run")
			r, done := newRun(t, w, testConfig(t), dir)
			r.Servers = e
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			steps, _ := recordsOf(t, dir)
			if diff := cmp.Diff(tc.want, steps[0].Servers); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An interrupted step keeps what the others gave, and nothing of the liar's.
func TestInterruptedStepTakesBackTheLiars(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{server: onAandB}
	broken := errors.New("broken")
	w.onRollout = rolloutAt(3, 2, func() error { // the last of step 1
		w.others = func() []string { return []string{"http://a"} }
		return broken
	})
	r, done := newRun(t, w, testConfig(t), dir)
	if _, err := r.Train(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	p, err := r.Journal.OpenPartial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // read only
	if all := p.Known(); len(all) != 3 || slices.ContainsFunc(all, func(o journal.Recorded) bool { return o.Server != "http://b" }) {
		t.Errorf("kept %d: %+v", len(all), all)
	}
	done()
}

// So does one that is interrupted while its servers are being checked: what
// nobody has proved is not left for the resumed run.
func TestInterruptedCheckTakesBackTheLiars(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{server: onAandB}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	checks := 0
	w.onCheck = func() error {
		if checks++; checks != 3 { // a validation's, step 0's, step 1's
			return nil
		}
		cancel()
		w.others = func() []string {
			if checks == 3 {
				return nil
			}
			return []string{"http://a"} // the next Check finds out
		}
		return ctx.Err()
	}
	r, done := newRun(t, w, testConfig(t), dir)
	if _, err := r.Train(ctx); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	p, err := r.Journal.OpenPartial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // read only
	if all := p.Known(); checks != 4 || len(all) != 3 || slices.ContainsFunc(all, func(o journal.Recorded) bool { return o.Server != "http://b" }) {
		t.Errorf("after %d checks kept %d: %+v", checks, len(all), all)
	}
	done()
}
