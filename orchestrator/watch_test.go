package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// watchedConfig looks for a fallen reward in the mean of two steps.
func watchedConfig(t *testing.T, action string) config.Config {
	c := testConfig(t)
	c.Steps, c.Checkpoint.Every, c.Validation.Every = 12, 0, 0
	c.Monitor.Window = 2
	for _, s := range []*config.Signature{&c.Monitor.EqualGroups, &c.Monitor.HeldoutFall} { // of a world of right or wrong alone
		s.Action = config.ActionOff
	}
	c.Monitor.RewardDrop = config.Signature{Action: action, Threshold: 0.3}
	return c
}

// falling is a world in which all is right until row 12, which is step 6, and nothing after.
func falling() *world {
	return &world{verdict: func(ordinal int64, _ bool) bool { return ordinal < 12 || ordinal >= 900 }}
}

// dropStep is the step after which the fallen reward is told: its mean is 0 then.
const dropStep = 6

func eventsOf(t *testing.T, dir string) (all []journal.Event) {
	t.Helper()
	for e, err := range journal.Lines[journal.Event](journal.EventsPath(dir)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// told are a world's lines that are about events.
func (w *world) told() (lines []string) {
	for _, l := range w.log {
		for _, action := range config.Actions() {
			if strings.HasPrefix(l, action+" ") {
				lines = append(lines, l)
			}
		}
	}
	return lines
}

func TestWarning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	r, done := newRun(t, w, watchedConfig(t, config.ActionWarn), dir)
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"warn 6: reward_drop"}, w.told()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	events := eventsOf(t, dir)
	if len(events) != 1 || events[0].Step != dropStep || events[0].Signature != "reward_drop" || events[0].Evidence["drop"] != 1 || !events[0].Time.Equal(time.Unix(0, 0)) {
		t.Errorf("events.jsonl: %+v", events)
	}
}

// A run that a signature stops is saved at the boundary, says how to go on, stops
// again where nothing has changed, and ends as an undisturbed one where told to.
func TestStopAndResume(t *testing.T) {
	undisturbed := falling()
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, watchedConfig(t, config.ActionWarn), whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	for i := range 2 { // the second goes one step further
		r, done = newRun(t, w, watchedConfig(t, config.ActionStop), dir)
		_, err := r.Train(t.Context())
		done()
		var stop *StopError
		if !errors.As(err, &stop) || stop.Event.Step != dropStep+i {
			t.Fatalf("run %d: error %v, want a StopError after step %d", i, err, dropStep+i)
		}
		for _, words := range []string{"reward_drop", "under its best", "look at", "justrl run --resume --out " + dir, "--set monitor.reward_drop.action=warn"} {
			if !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not say %q, in one line", err, words)
			}
		}
		if saved, err := journal.NewestCheckpoint(dir); err != nil || filepath.Base(saved) != filepath.Base(r.Journal.CheckpointPath(dropStep+i+1)) {
			t.Errorf("run %d: the newest checkpoint is %s, %v", i, saved, err)
		}
	}
	r, done = newRun(t, w, watchedConfig(t, config.ActionWarn), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	sameEnd(t, undisturbed, w, dir, want, measured)
	if d := cmp.Diff([]string{"stop 6: reward_drop", "stop 7: reward_drop"}, w.told()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A run that a signature pauses is saved and asks nobody for anything until its
// file is removed; then it goes on and ends as an undisturbed one.
func TestPauseAndGoOn(t *testing.T) {
	undisturbed := falling()
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, watchedConfig(t, config.ActionWarn), whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	synctest.Test(t, func(t *testing.T) {
		r, done := newRun(t, w, watchedConfig(t, config.ActionPause), dir)
		defer done()
		ended := make(chan error)
		go func() {
			_, err := r.Train(t.Context())
			ended <- err
		}()
		time.Sleep(time.Hour) // of a clock that runs only while all wait
		synctest.Wait()
		waiting := slices.Clone(w.log)
		time.Sleep(time.Hour)
		synctest.Wait()
		if d := cmp.Diff(waiting, w.log); d != "" {
			t.Errorf("it did something while it waited:\n%s", d)
		}
		if last := w.log[len(w.log)-2:]; last[0] != "pause 6: reward_drop" || last[1] != "save" {
			t.Errorf("it ended with %q", last)
		}
		reason, paused, err := r.Journal.Paused()
		if err != nil || !paused || !strings.Contains(reason, "reward_drop: the reward is") || !strings.Contains(reason, "remove "+journal.PausedPath(dir)) {
			t.Errorf("paused %t for %q, %v", paused, reason, err)
		}
		if err := os.Remove(journal.PausedPath(dir)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	sameEnd(t, undisturbed, w, dir, want, measured)
	if got := w.told(); len(got) != 1 {
		t.Errorf("told %q, want once", got)
	}
}

// An interrupt ends the waiting; the resumed run waits on, says so, and goes on
// when the file is gone. Anybody may put it there.
func TestInterruptedPause(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	synctest.Test(t, func(t *testing.T) {
		r, done := newRun(t, w, watchedConfig(t, config.ActionPause), dir)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		_, err := r.Train(ctx)
		done()
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("error %v, want an interrupt", err)
		}
		r, done = newRun(t, w, watchedConfig(t, config.ActionPause), dir)
		defer done()
		time.AfterFunc(time.Minute, func() {
			if err := os.Remove(journal.PausedPath(dir)); err != nil {
				t.Error(err)
			}
		})
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if d := cmp.Diff([]string{"pause 6: reward_drop", "pause 6: paused"}, w.told()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if events := eventsOf(t, dir); len(events) != 2 || !strings.Contains(events[1].Message, "it says: reward_drop") {
		t.Errorf("events.jsonl: %+v", events)
	}
}

// listener is told of events.
type listener struct {
	Observers // nobody
	event     func(journal.Event)
}

func (l listener) Event(e journal.Event) { l.event(e) }

// A run that is told to pause and ends before it waits, in validation say, waits
// when it is resumed: what says so is there before anybody is told.
func TestInterruptedBeforeItPauses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, falling(), watchedConfig(t, config.ActionPause), dir)
	defer done()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Observer = Observers{r.Observer, listener{event: func(journal.Event) {
		if _, paused, err := r.Journal.Paused(); err != nil || !paused {
			t.Errorf("paused %t, %v", paused, err)
		}
		cancel()
	}}}
	if _, err := r.Train(ctx); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("error %v, want an interrupt", err)
	}
	if reason, paused, err := r.Journal.Paused(); err != nil || !paused || !strings.HasPrefix(reason, "reward_drop: ") {
		t.Errorf("paused %t for %q, %v", paused, reason, err)
	}
}

// What a process that was killed had no time to record is noticed by the next one, once.
func TestMissedEventsAreNoticed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	c := watchedConfig(t, config.ActionWarn)
	all := c.Steps
	c.Steps = dropStep + 1
	r, done := newRun(t, w, c, dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	if err := os.Truncate(journal.EventsPath(dir), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.Steps = min(c.Steps+1, all)
		r, done = newRun(t, w, c, dir)
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		done()
	}
	if d := cmp.Diff([]string{"warn 6: reward_drop", "warn 6: reward_drop"}, w.told()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if events := eventsOf(t, dir); len(events) != 1 || events[0].Signature != "reward_drop" || events[0].Step != dropStep {
		t.Errorf("events.jsonl: %+v", events)
	}
}

// What is noticed after the last step holds nothing back.
func TestNoPauseAfterTheLastStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := falling()
	c := watchedConfig(t, config.ActionPause)
	c.Steps = dropStep + 1
	r, done := newRun(t, w, c, dir)
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, paused, err := r.Journal.Paused(); paused || err != nil {
		t.Errorf("paused %t, %v", paused, err)
	}
	if d := cmp.Diff([]string{"warn 6: reward_drop"}, w.told()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Held-out accuracy that falls is noticed by the validation that measures it, and stops there.
func TestValidationStops(t *testing.T) {
	c := watchedConfig(t, config.ActionOff)
	c.Validation.Every, c.Validation.SampledN = 2, 0
	c.Monitor.HeldoutFall = config.Signature{Action: config.ActionStop, Threshold: 0.05}
	w := &world{}
	w.verdict = func(ordinal int64, _ bool) bool {
		if ordinal >= 900 {
			return w.next < 8 // until step 4
		}
		return ordinal%12 < w.next*12/24 // ever more
	}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, w, c, dir)
	defer done()
	r.HeldOut[0].Rows = make([]sampler.Row, 400)
	for i := range r.HeldOut[0].Rows {
		r.HeldOut[0].Rows[i] = sampler.Row{Ordinal: 900 + int64(i), PromptTokenIDs: []int32{1}}
	}
	_, err := r.Train(t.Context())
	var stop *StopError
	if !errors.As(err, &stop) || stop.Event.Signature != "heldout_fall" || stop.Event.Evidence["best"] != 1 {
		t.Fatalf("error %v, want a heldout_fall", err)
	}
	if _, measured := recordsOfOpen(t, r); measured[0].Answers["set"] != 400 {
		t.Errorf("validation.jsonl says that %v answers were judged, want 400", measured[0].Answers)
	}
}

func recordsOfOpen(t *testing.T, r *Run) ([]journal.Step, []journal.Validation) {
	t.Helper()
	steps, err := r.Journal.Steps()
	if err != nil {
		t.Fatal(err)
	}
	measured, err := r.Journal.Validations()
	if err != nil {
		t.Fatal(err)
	}
	return steps, measured
}

// A resume that changes the recipe begins the monitor's history anew, in that process
// and in those that resume after it; any other resume does not.
func TestAChangedRecipeIsAnotherHistory(t *testing.T) {
	for _, tc := range []struct {
		name   string
		recipe []string
		told   []string
	}{
		{"another recipe", []string{"sampling.max_tokens is 192, was 96"}, nil},
		{"the same", nil, []string{"warn 6: reward_drop"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, w := filepath.Join(t.TempDir(), "run"), falling()
			train := func(steps int, resumed *journal.Resume) {
				c := watchedConfig(t, config.ActionWarn)
				c.Steps = steps
				r, done := newRun(t, w, c, dir)
				defer done()
				if resumed != nil {
					r.Resumed = resumed
					if err := r.resumed(nil); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.Train(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			train(dropStep, nil)
			train(9, &journal.Resume{Recipe: tc.recipe})
			train(12, &journal.Resume{})
			if d := cmp.Diff(tc.told, w.told()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A change counts from the earliest step that was done under it.
func TestRecipeChanges(t *testing.T) {
	longer, other := []string{"sampling.max_tokens is 192, was 96"}, []string{"seed is 2, was 1", "validation.n is 2, was 1"}
	got := recipeChanges([]journal.Resume{
		{NextStep: 4}, {NextStep: 10, Recipe: longer}, {NextStep: 12}, {NextStep: 30, Recipe: longer},
		{NextStep: 20}, {NextStep: 25}, {NextStep: 40, Recipe: other}, {NextStep: 40},
	})
	want := []recipeChange{{10, false}, {20, false}, {40, true}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
