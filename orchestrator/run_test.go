package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// world is everything around a run: rows that count up, a sampler whose
// rewards depend on the weights, an updater whose weights are one number, and
// a server. Its log is what happened, in order.
type world struct {
	mu      sync.Mutex // of log: a checkpoint is written beside
	t       *testing.T
	log     []string
	notices []string
	next    int64
	weight  int64 // the updater's
	served  int64 // the version that the server has

	asked map[string]int // ordinal/sample → how often it was sampled for training

	verdict    func(ordinal int64, right bool) bool // another one, where it is set
	unscored   func(ordinal int64, sample int) bool // those that the verifier fails on; it takes too long over sample 0
	onSample   func(step int) error
	onRollout  func(ordinal int64, sample int) error         // after it was kept
	until      func(ordinal int64, sample int) time.Duration // how long a sample takes
	onValidate func() error
	onCheck    func() error
	others     func() []string                        // that a Check finds to serve something else
	server     func(ordinal int64, sample int) string // that is asked; "" without it
	mismatch   updater.Mismatch
	onUpdate   func(step int) error // after the gate
	onLoad     func(s bridge.Snapshot) error
	onExport   func() error // of a checkpoint, in its own goroutine
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// Rows.
func (w *world) Next(context.Context) (sampler.Row, error) {
	w.next++
	return sampler.Row{Ordinal: w.next - 1, PromptTokenIDs: []int32{7}}, nil
}
func (w *world) MarshalCursor() ([]byte, error) { return json.Marshal(w.next) }
func (w *world) Epoch() int                     { return 0 }
func (w *world) Dropped() int64                 { return 0 }

// Sampler.
func (w *world) Sample(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64) ([]sampler.Group, error) {
	return w.Continue(ctx, rows, p, seed, version, nil)
}

func (w *world) Continue(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64, l sampler.Ledger) ([]sampler.Group, error) {
	if version != w.served {
		w.t.Errorf("sampled as version %d, the server has %d", version, w.served)
	}
	if l == nil && w.onValidate != nil {
		if err := w.onValidate(); err != nil {
			return nil, err
		}
	}
	if l != nil && w.onSample != nil {
		if err := w.onSample(int(rows[0].Ordinal) / len(rows)); err != nil {
			return nil, err
		}
	}
	w.say("sample %d-%d n=%d T=%g", rows[0].Ordinal, rows[len(rows)-1].Ordinal, p.N, p.Temperature)
	groups := make([]sampler.Group, len(rows))
	for i, row := range rows {
		groups[i] = sampler.Group{Row: row, Rollouts: make([]sampler.Rollout, p.N)}
		if l != nil {
			known, err := l.Known(row)
			if err != nil {
				return nil, err
			}
			for _, o := range known {
				groups[i].Rollouts[o.Sample] = o
			}
		}
		for j := range p.N {
			if groups[i].Rollouts[j].TokenIDs != nil {
				continue
			}
			if l != nil && w.until != nil {
				select {
				case <-time.After(w.until(row.Ordinal, j)):
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
			if w.unscored != nil && w.unscored(row.Ordinal, j) {
				if j == 0 {
					groups[i].Timeouts++
				} else {
					groups[i].Errors++
				}
				continue
			}
			right, reward := (seed(row)+int64(j)+w.weight)%3 == 0, -1.0
			if w.verdict != nil {
				right = w.verdict(row.Ordinal, right)
			}
			if right {
				reward = 1
			}
			o := sampler.Rollout{
				Sample: j, TokenIDs: []int32{1, 2}, FinishReason: sampler.FinishStop, Score: sampler.Score{Reward: reward, Correct: reward > 0}, WeightsVersion: version,
			}
			if w.server != nil {
				o.Server = w.server(row.Ordinal, j)
			}
			groups[i].Rollouts[j] = o
			if l == nil {
				continue
			}
			if w.asked == nil {
				w.asked = map[string]int{}
			}
			w.asked[fmt.Sprint(row.Ordinal, "/", j)]++
			if err := l.Add(row, o); err != nil {
				return nil, err
			}
			if w.onRollout != nil {
				if err := w.onRollout(row.Ordinal, j); err != nil {
					return nil, err
				}
			}
		}
	}
	for i, g := range groups {
		groups[i].Rollouts = slices.DeleteFunc(g.Rollouts, func(o sampler.Rollout) bool { return o.TokenIDs == nil })
	}
	return groups, ctx.Err()
}

// worldUpdater is the updater's part, whose Step has the orchestrator's name for another thing.
type worldUpdater struct{ *world }

func (w worldUpdater) Step(_ context.Context, step int, groups []updater.Group, gate func(updater.Mismatch) error) (updater.StepResult, error) {
	if gate != nil { // a replay has none
		if err := gate(w.mismatch); err != nil {
			return updater.StepResult{}, err
		}
	}
	if w.onUpdate != nil {
		if err := w.onUpdate(step); err != nil {
			return updater.StepResult{}, err
		}
	}
	for _, g := range groups {
		for _, r := range g.Rollouts {
			w.weight = w.weight*31 + int64(r.Reward) + g.Ordinal
		}
	}
	w.say("update %d", step)
	return updater.StepResult{Updates: []updater.UpdateMetrics{{PGLoss: float64(w.weight%1000) / 3, Tokens: 1}, {Tokens: 1}}}, nil
}
func (w worldUpdater) Score(context.Context, [][]int32, float64) ([]updater.Scores, error) {
	return nil, errors.ErrUnsupported
}
func (w worldUpdater) Export(_ context.Context, dir string) error {
	if w.onExport != nil {
		if err := w.onExport(); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "weights"), fmt.Append(nil, w.weight), 0o666)
}
func (w worldUpdater) SaveState(_ context.Context, dir string) error {
	w.say("save")
	return os.WriteFile(filepath.Join(dir, "state"), fmt.Append(nil, w.weight), 0o666)
}
func (w worldUpdater) LoadState(_ context.Context, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(string(b), &w.weight)
	return err
}
func (w worldUpdater) Close() error { return nil }

// Publisher and bridge.
func (w *world) Publish(_ context.Context, version int64, step int) (bridge.Snapshot, error) {
	return bridge.Snapshot{Version: version, Step: step, SHA256: fmt.Sprint(w.weight)}, nil
}
func (w *world) Start(ctx context.Context, s bridge.Snapshot) (bridge.Report, error) {
	return w.Advance(ctx, s)
}
func (w *world) Check(context.Context) (others []string, err error) {
	if w.onCheck != nil {
		err = w.onCheck()
	}
	if w.others != nil {
		others = w.others()
	}
	return others, err
}
func (w *world) Advance(_ context.Context, s bridge.Snapshot) (bridge.Report, error) {
	if w.onLoad != nil {
		if err := w.onLoad(s); err != nil {
			return bridge.Report{}, err
		}
	}
	if s.Version <= w.served {
		w.t.Errorf("version %d loaded after %d", s.Version, w.served)
	}
	w.served = s.Version
	w.say("load %d", s.Version)
	return bridge.Report{}, nil
}

// Observer.
func (w *world) Phase(int, string) {}
func (w *world) Notice(format string, args ...any) {
	w.notices = append(w.notices, fmt.Sprintf(format, args...))
}
func (w *world) StepDone(s journal.Step, _ int)                      { w.say("recorded %d", s.Step) }
func (w *world) Validated(step int, _ string, _ float64, _ *float64) { w.say("validated %d", step) }
func (w *world) Event(e journal.Event)                               { w.say("%s %d: %s", e.Action, e.Step, e.Signature) }

func testConfig(t *testing.T) config.Config {
	t.Helper()
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Steps, c.Sampling.Batch, c.Sampling.N, c.Checkpoint.Every, c.Validation.Every = 4, 2, 3, 2, 2
	return c
}

// newRun wires a run over w; dir is created, or resumed if it holds a run.
func newRun(t *testing.T, w *world, c config.Config, dir string) (*Run, func()) {
	t.Helper()
	w.t = t
	j, err := journal.Create(dir, journal.Info{}, nil)
	if errors.Is(err, journal.ErrExists) {
		j, _, err = journal.Open(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := resumable(w, c, j)
	cursor, err := r.Resume(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cursor != nil {
		if err := json.Unmarshal(cursor, &w.next); err != nil {
			t.Fatal(err)
		}
	}
	return r, func() {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func heldOutSet() []HeldOut {
	return []HeldOut{{Name: "set", Rows: []sampler.Row{{Ordinal: 900, PromptTokenIDs: []int32{1}}}}}
}

func TestTrainDoesOneThingAfterAnother(t *testing.T) {
	w := &world{}
	r, done := newRun(t, w, testConfig(t), filepath.Join(t.TempDir(), "run"))
	defer done()
	s, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"load 1", "sample 900-900 n=1 T=0", "sample 900-900 n=4 T=1", "validated -1",
		"sample 0-1 n=3 T=1", "update 0", "load 2", "recorded 0",
		"sample 2-3 n=3 T=1", "update 1", "load 3", "recorded 1", "sample 900-900 n=1 T=0", "sample 900-900 n=4 T=1", "validated 1",
		"sample 4-5 n=3 T=1", "update 2", "load 4", "recorded 2",
		"sample 6-7 n=3 T=1", "update 3", "load 5", "recorded 3", "sample 900-900 n=1 T=0", "sample 900-900 n=4 T=1", "validated 3",
	}
	// A checkpoint is written beside what follows, until the next update.
	saves := 0
	got := slices.DeleteFunc(slices.Clone(w.log), func(s string) bool {
		if s == "save" {
			saves++
		}
		return s == "save"
	})
	if saved, updated := slices.Index(w.log, "save"), slices.Index(w.log, "update 2"); saves != 2 || saved > updated || saved < slices.Index(w.log, "recorded 1") {
		t.Errorf("%d checkpoints, the first at %d, before the update at %d", saves, saved, updated)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s.Steps != 4 || s.WeightsSHA256 != fmt.Sprint(w.weight) || s.Tokens != 4*2*3*2 {
		t.Errorf("summary %+v of weights %d", s, w.weight)
	}
}

// However a run is stopped, the resumed one ends with the weights and the
// records of an undisturbed one, no row is drawn twice or left out, and no
// sample is asked for twice but those that may not be trained on.
func TestStoppedRunsEndTheSame(t *testing.T) {
	undisturbed := &world{}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, dir)

	broken := errors.New("broken")
	canary := &bridge.CanaryError{Part: bridge.PartIdle}
	for _, tc := range []struct {
		name  string
		stop  func(w *world, cancel func())
		want  error
		next  int // steps done when it stops
		twice int // samples that are asked for again
	}{
		{"interrupt while sampling step 1", func(w *world, cancel func()) {
			w.onSample = at(1, func() error { cancel(); return context.Canceled })
		}, ErrInterrupted, 1, 0},
		{"interrupt while updating step 2", func(w *world, cancel func()) {
			w.onUpdate = at(2, func() error { cancel(); return nil })
		}, ErrInterrupted, 3, 0},
		{"interrupt while validating after step 1", func(w *world, cancel func()) {
			w.onValidate = nth(3, func() error { cancel(); return context.Canceled }) // two of each validation
		}, ErrInterrupted, 2, 0},
		{"validation fails after step 1", func(w *world, _ func()) {
			w.onValidate = nth(3, func() error { return broken })
		}, broken, 2, 0},
		{"the last validation fails", func(w *world, _ func()) {
			w.onValidate = nth(6, func() error { return broken })
		}, broken, 4, 0},
		{"the gate refuses step 3: no weight has changed", func(w *world, _ func()) {
			w.onSample = at(3, func() error { w.mismatch = updater.Mismatch{Tokens: 9, RatioP50: 2}; return nil })
		}, ErrMismatch, 3, 6},
		{"the server cannot be asked after sampling step 3", func(w *world, _ func()) {
			w.onCheck = nth(6, func() error { return broken }) // each step and two validations are checked
		}, broken, 3, 0},
		{"the server is another one after sampling step 3", func(w *world, _ func()) {
			w.onCheck = nth(6, func() error { return canary })
		}, canary, 3, 6},
		{"interrupt in the middle of sampling step 1", func(w *world, cancel func()) {
			w.onRollout = rolloutAt(3, 1, func() error { cancel(); return context.Canceled })
		}, ErrInterrupted, 1, 0},
		{"interrupt in the middle of sampling step 1, by a server that is another one", func(w *world, cancel func()) {
			w.onRollout = rolloutAt(3, 1, func() error {
				w.onCheck = func() error { return canary }
				cancel()
				return context.Canceled
			})
		}, canary, 1, 5},
		{"sampling fails in the middle of step 3", func(w *world, _ func()) {
			w.onRollout = rolloutAt(6, 0, func() error { return broken })
		}, broken, 3, 0},
		{"the server is another one after the last validation", func(w *world, _ func()) {
			w.onCheck = nth(7, func() error { return broken })
		}, broken, 4, 0},
		{"interrupt and a server that fails in one step: the failure is told", func(w *world, cancel func()) {
			w.onUpdate = at(2, func() error { cancel(); return nil })
			w.onLoad = func(s bridge.Snapshot) error {
				if s.Step == 2 {
					return broken
				}
				return nil
			}
		}, broken, 3, 0},
		{"sampling fails in step 3", func(w *world, _ func()) {
			w.onSample = at(3, func() error { return broken })
		}, broken, 3, 0},
		{"update fails in step 3: back to the checkpoint", func(w *world, _ func()) {
			w.onUpdate = at(3, func() error { w.weight = -1; return broken })
		}, broken, 2, 0},
		{"server fails after update 1: the step counts", func(w *world, _ func()) {
			w.onLoad = func(s bridge.Snapshot) error {
				if s.Step == 1 {
					return broken
				}
				return nil
			}
		}, broken, 2, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &world{}
			r, done := newRun(t, w, testConfig(t), dir)
			tc.stop(w, cancel)
			if _, err := r.Train(ctx); !errors.Is(err, tc.want) {
				t.Fatalf("Train: %v, want %v", err, tc.want)
			}
			done()
			again := &world{served: w.served, asked: w.asked}
			r, done = newRun(t, again, testConfig(t), dir)
			if r.progress.NextStep != tc.next {
				t.Errorf("resumes at step %d, want %d", r.progress.NextStep, tc.next)
			}
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			twice := 0
			for _, times := range again.asked {
				twice += times - 1
			}
			if len(again.asked) != 4*2*3 || twice != tc.twice {
				t.Errorf("%d samples were asked for, and again %d times; want 24 and %d", len(again.asked), twice, tc.twice)
			}
			sameEnd(t, undisturbed, again, dir, want, measured, costsApart(errors.Is(tc.want, canary))) // what is taken back costs
		})
	}
}

// What fails after the step is recorded is told as what it is, once: the step counts.
func TestAStepThatIsRecordedIsNotCalledUnrecorded(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"old rollouts that cannot be removed", func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "rollouts", "step-000000.jsonl", "somebody's"), 0o777)
		}, "broken; then: rollouts of old steps could not be removed: rollouts: "},
		{"an event that cannot be recorded", func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "paused", "somebody's"), 0o777)
		}, "broken; nor could it be recorded what the monitor finds in the step: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(t)
			c.Steps, c.Checkpoint.Every, c.Checkpoint.Rollouts, c.Validation.Every, c.Monitor.Window = 8, 1, 1, 0, 2
			c.Monitor.EqualGroups = config.Signature{Action: config.ActionPause, Threshold: 0.95}
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{}
			w.verdict = func(ordinal int64, was bool) bool { return was && ordinal < 6 } // later all groups are equal
			w.onLoad = func(s bridge.Snapshot) error {
				if s.Step == 4 {
					return errors.Join(broken, tc.spoil(dir))
				}
				return nil
			}
			r, done := newRun(t, w, c, dir)
			_, err := r.Train(t.Context())
			done()
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "nor could the step") || strings.Count(err.Error(), "rollouts of old steps") > 1 {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
			if steps, _ := recordsOf(t, dir); len(steps) != 5 {
				t.Errorf("%d steps are recorded, want 5", len(steps))
			}
		})
	}
}

// The gate stands between a mismatch and the servers.
func TestMismatchIsNeverPublished(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    updater.Mismatch
		want bool // refused
	}{
		{"within", updater.Mismatch{Tokens: 5, RatioP50: 1.04, KL: -3e-4}, false},
		{"median ratio", updater.Mismatch{Tokens: 5, RatioP50: 1.06}, true},
		{"KL", updater.Mismatch{Tokens: 5, RatioP50: 1, KL: 5e-4}, true},
		{"KL of the other sign", updater.Mismatch{Tokens: 5, RatioP50: 1, KL: -5e-4}, true},
		{"not a number", updater.Mismatch{Tokens: 5, RatioP50: nan(), KL: nan()}, true},
		{"KL that could be chance", updater.Mismatch{Tokens: 5, RatioP50: 1, KL: 6e-4, KLStdErr: 1e-4}, false},
		{"KL that could not", updater.Mismatch{Tokens: 5, RatioP50: 1, KL: 8e-4, KLStdErr: 1e-4}, true},
		{"no server log-probs", updater.Mismatch{RatioP50: 9}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &Run{Config: testConfig(t)}
			err := r.gate(tc.m)
			if errors.Is(err, ErrMismatch) != tc.want || r.torn == tc.want {
				t.Errorf("gate: %v; weights may change: %t", err, r.torn)
			}
		})
	}
}

// Whoever is refused is told where to look.
func TestMismatchNamesTheWorstToken(t *testing.T) {
	for _, m := range []updater.Mismatch{{Tokens: 5, RatioP50: 2}, {Tokens: 5, RatioP50: 1, KL: 1}} {
		m.WorstGroup, m.WorstRollout, m.WorstToken, m.WorstLogRatio = 12, 3, 7, -4.25
		err := (&Run{Config: testConfig(t)}).gate(m)
		if want := "they differ most at token 7 of rollout 3 of group 12, by -4.25 nats"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func nan() float64 { z := 0.0; return z / z }

func at(step int, do func() error) func(int) error {
	return func(s int) error {
		if s == step {
			return do()
		}
		return nil
	}
}

// rolloutAt does something after one rollout.
func rolloutAt(ordinal int64, sample int, do func() error) func(int64, int) error {
	return func(o int64, s int) error {
		if o == ordinal && s == sample {
			return do()
		}
		return nil
	}
}

// nth does something at the n-th call, from 1.
func nth(n int, do func() error) func() error {
	return func() error {
		if n--; n == 0 {
			return do()
		}
		return nil
	}
}

// A run cannot be resumed to fewer steps than it has done.
func TestResumeNeedsStepsToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, &world{}, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Config.Steps = 2
	if _, err := r.Resume(t.Context()); err == nil || !strings.Contains(err.Error(), "--steps") {
		t.Errorf("resume of 4 steps with steps 2: %v", err)
	}
	done()
}

func recordsOf(t *testing.T, dir string) ([]journal.Step, []journal.Validation) {
	t.Helper()
	j, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // read only
	steps, err := j.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(steps, func(a, b journal.Step) int { return a.Step - b.Step }) {
		t.Fatal("steps out of order")
	}
	validations, err := j.Validations()
	if err != nil {
		t.Fatal(err)
	}
	return steps, validations
}

// held is a sampler of held-out rows: it counts what it is asked for.
type held struct {
	*world
	sets int
}

func (h *held) Sample(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64) ([]sampler.Group, error) {
	h.sets++
	return h.world.Sample(ctx, rows, p, seed, version)
}

// Held-out rows have a sampler of their own where there is one: their rewards are not shaped.
func TestValidationHasItsOwnSampler(t *testing.T) {
	w := &world{}
	r, done := newRun(t, w, testConfig(t), filepath.Join(t.TempDir(), "run"))
	defer done()
	h := &held{world: w}
	r.Validator = h
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.sets != 3*2 { // three measurements, at two temperatures
		t.Errorf("it was asked %d times, want 6", h.sets)
	}
}

// A budget ends a run at the step that goes over it, as the last of its steps would:
// with a checkpoint, a measurement and a summary. What recipes draw and leave out
// counts. A larger one goes on from there.
func TestBudgetEndsARun(t *testing.T) {
	for _, tc := range []struct {
		budget int64
		steps  int
	}{{1, 1}, {12, 1}, {13, 2}, {25, 3}, {1000, 4}} { // a step samples 2 × 3 answers of 2 tokens
		w, dir := &world{}, filepath.Join(t.TempDir(), "run")
		c := testConfig(t)
		c.Budget.Tokens = tc.budget
		r, done := newRun(t, w, c, dir)
		s, err := r.Train(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done()
		_, validations := recordsOf(t, dir)
		if s.Steps != tc.steps || s.Tokens != int64(12*tc.steps) || validations[len(validations)-1].Steps != tc.steps || !strings.HasSuffix(s.Model, fmt.Sprintf("step-%06d", tc.steps)) {
			t.Errorf("budget %d: %d steps, %d tokens, %s, %+v", tc.budget, s.Steps, s.Tokens, s.Model, validations)
		}
		c.Budget.Tokens = 0
		more := &world{}
		r, done = newRun(t, more, c, dir)
		if s, err = r.Train(t.Context()); err != nil || s.Steps != 4 || s.Tokens != 48 {
			t.Errorf("gone on with: %d steps, %d tokens, %v", s.Steps, s.Tokens, err)
		}
		done()
	}
}

func TestBudgetCountsWhatIsLeftOut(t *testing.T) {
	w := &world{verdict: func(ordinal int64, right bool) bool { return ordinal%2 == 0 && right }} // every other group teaches nothing
	c := testConfig(t)
	c.Sampling.Dynamic, c.Budget.Tokens, c.Steps = true, 13, 100
	r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
	defer done()
	s, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	steps, err := r.Journal.Steps()
	if err != nil || s.Steps != 1 || steps[0].Drawn == nil || steps[0].Batches < 2 || s.Tokens != steps[0].ResponseTokens() || s.Tokens < 13 {
		t.Errorf("%d steps, %d tokens, %+v, %v", s.Steps, s.Tokens, steps[0].Drawn, err)
	}
}
