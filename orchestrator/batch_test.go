package orchestrator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// kinds is what rows are to the policy, by ordinal, over and over: all answers
// wrong (-), all right (+), or one of three right (x).
const kinds = "-xxx+--+xx-x+x"

func kindOf(ordinal int64, right bool) bool {
	switch kinds[ordinal%int64(len(kinds))] {
	case '-':
		return false
	case '+':
		return true
	}
	return right
}

func dynamicConfig(t *testing.T) config.Config {
	t.Helper()
	c := testConfig(t)
	c.Sampling.Dynamic, c.Sampling.MaxBatches = true, 3
	return c
}

// By hand from kinds, in batches of two: the first two rows with both verdicts
// are trained on, in the order of drawing.
var dynamicSteps = []struct {
	drawn   string
	trained []int64
	want    journal.Drawn
}{
	{"-x xx", []int64{1, 2}, journal.Drawn{Batches: 2, Groups: 4, EqualGroups: 1, SurplusGroups: 1, CorrectShare: 3.0 / 12, ResponseTokens: 24, FLOPs: 12 * 292}},
	{"+- -+ xx", []int64{8, 9}, journal.Drawn{Batches: 3, Groups: 6, EqualGroups: 4, CorrectShare: 8.0 / 18, ResponseTokens: 36, FLOPs: 18 * 292}},
	{"-x +x", []int64{11, 13}, journal.Drawn{Batches: 2, Groups: 4, EqualGroups: 2, CorrectShare: 5.0 / 12, ResponseTokens: 24, FLOPs: 12 * 292}},
	{"-x xx", []int64{15, 16}, journal.Drawn{Batches: 2, Groups: 4, EqualGroups: 1, SurplusGroups: 1, CorrectShare: 3.0 / 12, ResponseTokens: 24, FLOPs: 12 * 292}},
}

func TestDynamicSampling(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{verdict: kindOf}
	r, done := newRun(t, w, dynamicConfig(t), dir)
	s, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done()
	steps, _ := recordsOf(t, dir)
	for i, want := range dynamicSteps {
		if d := cmp.Diff(&want.want, steps[i].Drawn); d != "" {
			t.Errorf("step %d drew %s (-want +got):\n%s", i, want.drawn, d)
		}
		if c := steps[i].Cost; c.TokensGenerated != want.want.ResponseTokens || c.TokensUnused != want.want.ResponseTokens-6*2 || c.FLOPsGenerated != want.want.FLOPs {
			t.Errorf("step %d cost %+v", i, c)
		}
		if steps[i].EqualRows != 0 || steps[i].Correct != 2.0/6 {
			t.Errorf("step %d trained on groups with nothing to learn: %+v", i, steps[i])
		}
		recorded, err := journal.ReadRollouts(dir, i)
		if err != nil {
			t.Fatal(err)
		}
		var trained []int64
		for _, o := range recorded {
			trained = append(trained, o.Group)
		}
		want.trained = []int64{want.trained[0], want.trained[0], want.trained[0], want.trained[1], want.trained[1], want.trained[1]}
		if d := cmp.Diff(want.trained, trained); d != "" {
			t.Errorf("step %d trained on other rows (-want +got):\n%s", i, d)
		}
	}
	if s.Tokens != 24+36+24+24 || w.next != 18 {
		t.Errorf("%d tokens of %d rows, want 108 of 18: what is left out was sampled too", s.Tokens, w.next)
	}
	for _, key := range []string{`"sampling/groups_drawn":4`, `"sampling/groups_equal":1`, `"sampling/groups_surplus":1`, `"sampling/batches":2`, `"sampling/correct":0.25`} {
		if b, err := os.ReadFile(filepath.Join(dir, "steps.jsonl")); err != nil || !bytes.Contains(b, []byte(key)) {
			t.Errorf("steps.jsonl has no %s, %v", key, err)
		}
	}
	for step := range 4 {
		got, err := replay(t, dir, r.Config, step)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.Differences(); len(d) > 0 {
			t.Errorf("replay of step %d differs in %v", step, d)
		}
	}
}

// A verdict decides which groups are left out, not a reward that their length
// made unequal: as in the paper, and verl's metric acc.
func TestShapedRewardsDoNotMakeAGroupUnequal(t *testing.T) {
	wrong := group(0, -1, -1.5)
	both := group(1, 0, 0)
	both.Rollouts[0].Score.Correct = true
	if !oneVerdict(wrong) || oneVerdict(both) || !oneVerdict(sampler.Group{}) {
		t.Error("the rewards decided")
	}
}

// Killed after any rollout, in any batch of any step, with the last line torn or
// whole: the resumed run trains on the same rows, records the same figures, and
// asks for nothing twice but the torn rollout.
func TestKilledDynamicRunsEndTheSame(t *testing.T) {
	undisturbed := &world{verdict: kindOf}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, dynamicConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, dir)
	killed := errors.New("killed")
	for at := 0; at < 18*3; at += 5 {
		for _, torn := range slices.Compact([]bool{false, at%2 == 0}) {
			t.Run(fmt.Sprintf("after rollout %d, torn %t", at, torn), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "run")
				w := &world{verdict: kindOf, onRollout: rolloutAt(int64(at/3), at%3, func() error { return killed })}
				r, done := newRun(t, w, dynamicConfig(t), dir)
				if _, err := r.Train(t.Context()); !errors.Is(err, killed) {
					t.Fatalf("Train: %v", err)
				}
				done()
				asKilled(t, dir, torn)
				again := &world{verdict: kindOf, served: w.served, asked: w.asked}
				r, done = newRun(t, again, dynamicConfig(t), dir)
				if _, err := r.Train(t.Context()); err != nil {
					t.Fatal(err)
				}
				done()
				sameEnd(t, undisturbed, again, dir, want, measured)
				twice := 0
				for _, times := range again.asked {
					twice += times - 1
				}
				if len(again.asked) != 18*3 || twice != map[bool]int{true: 1}[torn] {
					t.Errorf("%d samples were asked for, and again %d times; want 54, and the torn one", len(again.asked), twice)
				}
			})
		}
	}
}

// asKilled takes away what a process that is killed cannot have written: the
// checkpoint of the stop, and perhaps the end of a line.
func asKilled(t *testing.T, dir string, torn bool) {
	t.Helper()
	for _, odd := range []string{"step-000000", "step-000001", "step-000003"} {
		if err := os.RemoveAll(filepath.Join(dir, "checkpoints", odd)); err != nil {
			t.Fatal(err)
		}
	}
	partial, err := filepath.Glob(filepath.Join(dir, "rollouts", "*.partial.jsonl"))
	if err != nil || len(partial) != 1 {
		t.Fatalf("partial files: %v, %v", partial, err)
	}
	if st, err := os.Stat(partial[0]); torn {
		if err := errors.Join(err, os.Truncate(partial[0], st.Size()-7)); err != nil {
			t.Fatal(err)
		}
	}
}

func sameEnd(t *testing.T, undisturbed, again *world, dir string, want []journal.Step, measured []journal.Validation, but ...cmp.Option) {
	t.Helper()
	if again.weight != undisturbed.weight || again.next != undisturbed.next {
		t.Errorf("ends with weights %d after %d rows, undisturbed %d after %d", again.weight, again.next, undisturbed.weight, undisturbed.next)
	}
	steps, validations := recordsOf(t, dir)
	if d := cmp.Diff(want, steps, append(but, cmpopts.IgnoreFields(journal.Step{}, "WeightsVersion"))...); d != "" {
		t.Errorf("steps differ from the undisturbed run's:\n%s", d)
	}
	if d := cmp.Diff(measured, validations); d != "" {
		t.Errorf("validations differ from the undisturbed run's:\n%s", d)
	}
}

// Steps that were trained on and lost to the rewind come back as they were,
// whatever they drew beside, and with the rewards that were shuffled.
func TestLostDynamicStepsComeBack(t *testing.T) {
	for _, shuffled := range []bool{false, true} {
		c := dynamicConfig(t)
		c.Reward.ShuffleControl = shuffled
		dir := filepath.Join(t.TempDir(), "run")
		undisturbed := &world{verdict: kindOf}
		r, done := newRun(t, undisturbed, c, dir)
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		done()
		want, measured := recordsOf(t, dir)
		if err := os.RemoveAll(filepath.Join(dir, "checkpoints")); err != nil {
			t.Fatal(err)
		}
		again := &world{verdict: kindOf, served: undisturbed.served}
		r, done = newRun(t, again, c, dir)
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		done()
		if len(again.asked) != 0 {
			t.Errorf("shuffled %t: %d samples were asked for again", shuffled, len(again.asked))
		}
		sameEnd(t, undisturbed, again, dir, want, measured)
	}
}

// What a resumed run finds must fit what it draws.
func TestDynamicStepsOfOtherDataAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(dir string) error
		want   []string
	}{
		{"the note of what was drawn is gone", func(dir string) error {
			return os.Remove(filepath.Join(dir, "rollouts", "step-000001.drawn.json"))
		}, []string{"step-000001.drawn.json", "what step 1 drew", "step-000001.parquet"}},
		{"the note is of no batch", drawnAs(`{"sampling/batches":0,"sampling/groups_drawn":0}`),
			[]string{"step-000001.drawn.json: says that 0 batches of 2 rows came to 0 rows", "remove ", "step-000001.parquet"}},
		{"the note is of less than none", drawnAs(`{"sampling/batches":-3,"sampling/groups_drawn":-6}`), []string{"step-000001.drawn.json: says that -3 batches"}},
		{"the note's rows are not its batches'", drawnAs(`{"sampling/batches":3,"sampling/groups_drawn":7}`),
			[]string{"step-000001.drawn.json: says that 3 batches of 2 rows came to 7 rows"}},
		{"the note has more batches than rows", drawnAs(`{"sampling/batches":4611686018427387904,"sampling/groups_drawn":6}`),
			[]string{"step-000001.drawn.json: says that 4611686018427387904 batches"}},
		{"a group is gone", func(dir string) error {
			path := asLines(t, dir, 1)
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, b[bytes.Index(b, []byte(`{"group":9,`)):], 0o644))
		}, []string{"step-000001.jsonl: has rollouts of 1 of the step's rows, not of 2"}},
		{"rollouts of a row that is never drawn", func(dir string) error {
			path := asLines(t, dir, 1)
			b, err := os.ReadFile(path)
			part := filepath.Join(dir, "rollouts", "step-000001.partial.jsonl")
			return errors.Join(err, os.Remove(path), os.WriteFile(part, bytes.ReplaceAll(b, []byte(`{"group":9,`), []byte(`{"group":99,`)), 0o644))
		}, []string{"step-000001.partial.jsonl:4", "row 99 is none of the step's"}},
		{"rollouts of a row before the step's", func(dir string) error {
			path := asLines(t, dir, 1)
			b, err := os.ReadFile(path)
			part := filepath.Join(dir, "rollouts", "step-000001.partial.jsonl")
			return errors.Join(err, os.Remove(path), os.WriteFile(part, bytes.ReplaceAll(b, []byte(`{"group":9,`), []byte(`{"group":3,`)), 0o644))
		}, []string{"step-000001.partial.jsonl:4", "row 3 is none of the step's"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{verdict: kindOf}
			r, done := newRun(t, w, dynamicConfig(t), dir)
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, "checkpoints")), tc.change(dir)); err != nil {
				t.Fatal(err)
			}
			r, done = newRun(t, &world{verdict: kindOf, served: w.served}, dynamicConfig(t), dir)
			_, err := r.Train(t.Context())
			done()
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, want)
				}
			}
		})
	}
}

// drawnAs overwrites the note of what step 1 drew.
func drawnAs(note string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(journal.DrawnPath(dir, 1), []byte(note), 0o644) }
}

// Data that teach nothing end the run with what to do, and a resume with a
// higher bound asks for nothing again.
func TestTooFewGroups(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	c := dynamicConfig(t)
	c.Sampling.MaxBatches = 2 // step 1 needs three
	w := &world{verdict: kindOf}
	r, done := newRun(t, w, c, dir)
	_, err := r.Train(t.Context())
	if !errors.Is(err, ErrTooFewGroups) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("Train: %v, want ErrTooFewGroups in one line", err)
	}
	for _, want := range []string{"step 1: ", "0 of the 4 rows drawn, in 2 batches", "trains on 2", "raise sampling.max_batches"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	done()
	again := &world{verdict: kindOf, served: w.served, asked: w.asked}
	r, done = newRun(t, again, dynamicConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	for id, times := range again.asked {
		if times != 1 {
			t.Errorf("sample %s was asked for %d times", id, times)
		}
	}
	if again.next != 18 {
		t.Errorf("%d rows were drawn, want 18", again.next)
	}
}

// A server that turns out to be another one after the last batch: nothing of any
// batch of this process stays.
func TestAllBatchesAreTakenBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{verdict: kindOf}
	w.onCheck = nth(2, func() error { return &bridge.CanaryError{Part: bridge.PartIdle} }) // the first is validation's
	r, done := newRun(t, w, dynamicConfig(t), dir)
	var canary *bridge.CanaryError
	if _, err := r.Train(t.Context()); !errors.As(err, &canary) {
		t.Fatalf("Train: %v", err)
	}
	done()
	b, err := os.ReadFile(filepath.Join(dir, "rollouts", "step-000000.partial.jsonl"))
	if err != nil || len(b) > 0 {
		t.Errorf("%d bytes of rollouts are left, %v", len(b), err)
	}
}

// The order in which answers come back has no say: the sampler gives the groups
// back in the order of rows, and that decides which are surplus.
func TestSurplusIsByOrdinal(t *testing.T) {
	b := batch{drawn: &journal.Drawn{}}
	b.take([]sampler.Group{group(4, 1, 1), group(5, 1, -1), group(6, -1, -1)}, 3)
	b.take([]sampler.Group{group(7, -1, 1), group(8, -1, 1), group(9, -1, 1)}, 3)
	var trained []int64
	for _, g := range b.groups {
		trained = append(trained, g.Row.Ordinal)
	}
	if !slices.Equal(trained, []int64{5, 7, 8}) || *b.drawn != (journal.Drawn{Batches: 2, Groups: 6, EqualGroups: 2, SurplusGroups: 1, CorrectShare: 0.5}) {
		t.Errorf("trained on %v, %+v", trained, *b.drawn)
	}
}
