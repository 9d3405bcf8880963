package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func someRollout(group int64, sample int) Rollout {
	return Rollout{
		Group: group, ProblemID: "p", Sample: sample, PromptTokenIDs: []int32{1, 2}, TokenIDs: []int32{3, 4}, Logprobs: []float32{-0.1, -1.0 / 3},
		Text: "a < b", FinishReason: "stop", Reward: -1, Correct: false, Answer: "7", WeightsVersion: 5,
	}
}

func rolloutsOf(recorded []Recorded) (all []Rollout) {
	for _, r := range recorded {
		all = append(all, r.Rollout)
	}
	return all
}

func mustOpenPartial(t *testing.T, d *Dir, step int) *Partial {
	t.Helper()
	p, err := d.OpenPartial(step)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// What was added is there for the next process, bit for bit, until the step is written whole.
func TestPartialSurvivesTheProcess(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	want := []Rollout{someRollout(8, 1), someRollout(7, 0)}
	p := mustOpenPartial(t, d, 12)
	for _, r := range want {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	// Not closed: the process was killed.
	p = mustOpenPartial(t, d, 12)
	if diff := cmp.Diff(want, rolloutsOf(p.Known())); diff != "" {
		t.Errorf("(-added +known):\n%s", diff)
	}
	if at := p.Known()[1].At; !strings.HasSuffix(at, "rollouts/step-000012.partial.jsonl:2") {
		t.Errorf("the second is said to be at %s", at)
	}
	if _, err := ReadRollouts(d.Path(), 12); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rollouts of a step that is not finished: %v", err)
	}
	if err := d.WriteRollouts(12, want[:1]); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRollouts(d.Path(), 12)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:1], rolloutsOf(got)); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if again := mustOpenPartial(t, d, 12); len(again.Known()) != 0 {
		t.Error("the partial file was left beside the whole one")
	}
}

func TestPartialTakesBackWhatItAdded(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	p := mustOpenPartial(t, d, 0)
	if err := errors.Join(p.Add(someRollout(0, 0)), p.Close()); err != nil {
		t.Fatal(err)
	}
	p = mustOpenPartial(t, d, 0)
	if err := errors.Join(p.Add(someRollout(0, 1)), p.TakeBack(func(Rollout) {}), p.Add(someRollout(0, 2)), p.Close()); err != nil {
		t.Fatal(err)
	}
	got := rolloutsOf(mustOpenPartial(t, d, 0).Known())
	if diff := cmp.Diff([]Rollout{someRollout(0, 0), someRollout(0, 2)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// One server's rollouts go; those of others and of an earlier process stay, and
// what is added afterwards follows them.
func TestPartialTakesBackOneServers(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	of := func(server string, sample int) Rollout {
		r := someRollout(0, sample)
		r.Server = server
		return r
	}
	isA := func(r Rollout) bool { return r.Server == "a" }
	p := mustOpenPartial(t, d, 0)
	if err := errors.Join(p.Add(of("a", 0)), p.Close()); err != nil {
		t.Fatal(err)
	}
	p = mustOpenPartial(t, d, 0)
	if n, err := p.TakeBackOf(isA); n != 0 || err != nil || len(p.Known()) != 1 {
		t.Errorf("of nothing that was added: %d, %v; known %v", n, err, p.Known())
	}
	if err := errors.Join(p.Add(of("b", 1)), p.Add(of("a", 2)), p.Add(of("b", 3)), p.Add(of("a", 4))); err != nil {
		t.Fatal(err)
	}
	if n, err := p.TakeBackOf(isA); n != 2 || err != nil {
		t.Errorf("took back %d, %v", n, err)
	}
	want := []Rollout{of("a", 0), of("b", 1), of("b", 3)}
	if diff := cmp.Diff(want, rolloutsOf(p.Known())); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	if err := errors.Join(p.Add(of("b", 2)), p.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(want, of("b", 2)), rolloutsOf(mustOpenPartial(t, d, 0).Known())); diff != "" {
		t.Errorf("the next process knows (-want +got):\n%s", diff)
	}
}

// After a write that failed nothing more is written: it would follow half a line.
func TestPartialStopsAfterAFailure(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	p := mustOpenPartial(t, d, 0)
	file := p.f
	broken, err := os.Open(p.path) // for reading
	if err != nil {
		t.Fatal(err)
	}
	p.f = broken
	first := p.Add(someRollout(0, 0))
	p.f = file
	if second := p.Add(someRollout(0, 1)); first == nil || !errors.Is(second, first) {
		t.Errorf("first %v, then %v", first, second)
	}
	if st, err := os.Stat(p.path); err != nil || st.Size() != 0 {
		t.Errorf("the file has %d bytes, %v", st.Size(), err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with a line is told with its file and number: a file of an older
// build's finished step is refused, a partial one read without the line.
func TestBadRolloutLines(t *testing.T) {
	line := func(changes ...string) string {
		s := `{"group":4,"sample":0,"prompt_token_ids":[1],"token_ids":[2],"logprobs":null,"text":"","finish_reason":"stop","reward":1,"correct":true,"answer":"","weights_version":3}`
		return strings.NewReplacer(changes...).Replace(s) + "\n"
	}
	other := line(`"sample":0`, `"sample":1`)
	for _, tc := range []struct {
		name, text, want string
		damaged          int // lines of the partial
	}{
		{"not JSON", other + "<html>\n" + line(), ":2: invalid character", 1},
		{"an empty line", other + "\n", ":2: ", 1},
		{"zeros, as some file systems leave after a power failure", other + "\x00\x00\x00\n", ":2: ", 1},
		{"no group", line(`"group"`, `"grp"`), ":1: ", 1},
		{"no sample", line(`"sample":0,`, ``), ":1: has no sample", 1},
		{"no reward", line(`"reward":1`, `"reward":null`), ":1: has no reward", 1},
		{"no version", line(`,"weights_version":3`, ``), ":1: has no weights_version", 1},
		{"no prompt", line(`[1]`, `[]`), ":1: has no prompt_token_ids", 1},
		{"no answer", line(`[2]`, `[]`), ":1: has no token_ids", 1},
		{"no finish reason", line(`"stop"`, `""`), ":1: has no finish_reason", 1},
		{"log-probs of another length", line(`"logprobs":null`, `"logprobs":[-1,-2]`), ":1: logprobs has 2 entries for 1 token_ids", 1},
		{"a token that is none", line(`[2]`, `[2.5]`), ":1: ", 1},
		{"the same sample twice", line() + other + line(), ":3: sample 0 of group 4 is there already, in line 1", 1},
		{"two of them", "x\n" + line() + "y\n", ":1: invalid character 'x'", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := create(t, filepath.Join(t.TempDir(), "run"))
			mustOpenPartial(t, d, 3)
			for _, kind := range []string{partial, completeLines} {
				if err := os.WriteFile(rolloutsPath(d.Path(), 3, kind), []byte(tc.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			p := mustOpenPartial(t, d, 3)
			if len(p.Known())+tc.damaged != strings.Count(tc.text, "\n") || p.Len() != len(p.Known()) {
				t.Errorf("%d rollouts are known, %d counted", len(p.Known()), p.Len())
			}
			if p.Damage().Lines != tc.damaged {
				t.Errorf("%d lines are damaged, want %d", p.Damage().Lines, tc.damaged)
			}
			_, read := ReadRollouts(d.Path(), 3)
			for _, err := range []error{p.Damage().First, read} {
				if err == nil || !strings.Contains(err.Error(), "jsonl"+tc.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, tc.want)
				}
			}
		})
	}
}

// A line that a disk or the end of a machine has changed is not trusted, wherever
// the change is; the others are, and what is added follows.
func TestPartialDropsDamagedLines(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	all := []Rollout{someRollout(1, 0), someRollout(1, 1), someRollout(1, 2)}
	p := mustOpenPartial(t, d, 0)
	for _, r := range all {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	path := rolloutsPath(d.Path(), 0, partial)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n') + 1
	second := first + bytes.IndexByte(whole[first:], '\n') // its end is not of the line alone
	for at := first; at < second; at++ {
		b := bytes.Clone(whole)
		if b[at] ^= 1; b[at] == '\n' {
			continue
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		p := mustOpenPartial(t, d, 0)
		if diff := cmp.Diff([]Rollout{all[0], all[2]}, rolloutsOf(p.Known())); diff != "" {
			t.Fatalf("byte %d of the line changed (-want +got):\n%s", at-first, diff)
		}
		if p.Damage().Lines != 1 || p.Len() != 2 {
			t.Fatalf("byte %d: %+v", at-first, p.Damage())
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(mustOpenPartial(t, d, 0).Add(all[1])); err != nil {
		t.Fatal(err)
	}
	if p = mustOpenPartial(t, d, 0); p.Len() != 3 || p.Damage().Lines != 1 {
		t.Errorf("after it was sampled again: %d rollouts, %+v", p.Len(), p.Damage())
	}
}

// What builds without checksums have left is read, and gone on with.
func TestPartialOfAnOlderBuild(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	mustOpenPartial(t, d, 0)
	want := []Rollout{someRollout(1, 0), someRollout(1, 1)}
	var old bytes.Buffer
	for _, r := range want {
		if err := json.NewEncoder(&old).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(rolloutsPath(d.Path(), 0, partial), old.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := mustOpenPartial(t, d, 0).Add(someRollout(1, 2)); err != nil {
		t.Fatal(err)
	}
	p := mustOpenPartial(t, d, 0)
	if diff := cmp.Diff(append(want, someRollout(1, 2)), rolloutsOf(p.Known())); diff != "" || p.Damage().Lines != 0 {
		t.Errorf("%+v; (-want +got):\n%s", p.Damage(), diff)
	}
}

// A file that is always written whole is not read when it was cut.
func TestReadRolloutsRefusesATornLine(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	if err := d.WriteRollouts(0, []Rollout{someRollout(0, 0), someRollout(0, 1)}); err != nil {
		t.Fatal(err)
	}
	path := rolloutsPath(d.Path(), 0, completeLines)
	if err := errors.Join(os.Remove(RolloutsPath(d.Path(), 0)), replaceLines("", path, []Rollout{someRollout(0, 0), someRollout(0, 1)})); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()-5); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRollouts(d.Path(), 0); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

// Rewinding keeps the rollouts of what will happen again, and none of its answers.
func TestRewindKeepsRollouts(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	for step := range 4 {
		if err := errors.Join(d.AppendStep(Step{Step: step}), d.WriteRollouts(step, []Rollout{someRollout(int64(step), 0)}), d.WriteAnswers(step, "held", nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(mustOpenPartial(t, d, 4).Add(someRollout(4, 0)), d.Rewind(2)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"eval/step-000000/held.jsonl", "eval/step-000001/held.jsonl", "eval/step-000002/held.jsonl",
		"rollouts/step-000000.parquet", "rollouts/step-000001.parquet", "rollouts/step-000002.parquet", "rollouts/step-000003.parquet", "rollouts/step-000004.partial.jsonl",
	}, below(t, d.Path(), "eval", "rollouts")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := d.DropRollouts(4); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rollouts/step-000004.partial.jsonl"}, below(t, d.Path(), "rollouts")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := d.RefuseRollouts(4); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rollouts/step-000004.refused.jsonl"}, below(t, d.Path(), "rollouts")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a step drew stays and goes with its rollouts.
func TestDrawnGoesWithTheRollouts(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	want := Drawn{Batches: 3, Groups: 6, EqualGroups: 3, SurplusGroups: 1, CorrectShare: 1.0 / 3, ResponseTokens: 77}
	for step := range 4 {
		if err := errors.Join(d.WriteDrawn(step, want), d.WriteRollouts(step, []Rollout{someRollout(int64(step), 0)})); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.ReadDrawn(3); got != want || err != nil {
		t.Errorf("wrote %+v, read %+v, %v", want, got, err)
	}
	if err := errors.Join(d.Rewind(0), d.DropRollouts(1), d.DropRolloutsAfter(2), d.RefuseRollouts(2)); err != nil {
		t.Fatal(err)
	}
	left := []string{"rollouts/step-000001.drawn.json", "rollouts/step-000001.parquet", "rollouts/step-000002.refused.parquet"}
	if diff := cmp.Diff(left, below(t, d.Path(), "rollouts")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if steps, err := RolloutSteps(d.Path()); err != nil || len(steps) != 1 || steps[0] != 1 {
		t.Errorf("steps with rollouts: %v, %v", steps, err)
	}
	if _, err := d.ReadDrawn(2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a refused step: %v", err)
	}
}

// below lists the files in folders of a run directory.
func below(t *testing.T, run string, folders ...string) (files []string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(run, folder), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				name, _ := filepath.Rel(run, path)
				files = append(files, filepath.ToSlash(name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Once a rollout is kept the run has begun: it is resumed, not started over.
func TestARolloutIsABeginning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := create(t, path)
	mustOpenPartial(t, d, 0) // empty
	if err := errors.Join(d.WriteAnswers(0, "held", nil), d.Close(), Free(path)); err != nil {
		t.Fatalf("an attempt that sampled nothing is in the way: %v", err)
	}
	d = create(t, path)
	if left := below(t, path, "rollouts", "eval"); len(left) > 0 {
		t.Errorf("a run that is started anew has %v of the attempt before", left)
	}
	if err := errors.Join(mustOpenPartial(t, d, 0).Add(someRollout(0, 0)), d.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Free(path); !errors.Is(err, ErrExists) {
		t.Errorf("a run with a rollout: %v, want ErrExists", err)
	}
	if err := os.Remove(filepath.Join(path, "run.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, Info{}, nil); !errors.Is(err, ErrExists) {
		t.Errorf("rollouts of nobody knows what: %v, want ErrExists", err)
	}
}

// FuzzReadPartial: whatever is in the file, what comes back was in its whole lines,
// can be trained on, and reading those alone gives the same.
func FuzzReadPartial(f *testing.F) {
	f.Add([]byte(`{"group":4,"sample":0,"prompt_token_ids":[1],"token_ids":[2],"logprobs":[-0.5],"text":"x","finish_reason":"stop","reward":1,"correct":true,"answer":"","weights_version":3}` + "\n" + `{"group":4,"sa`))
	line, err := checksummed(someRollout(1, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(bytes.Replace(line, line[len(line)-11:], []byte(takenBack+crcEnd), 1))
	f.Add([]byte("\n"))
	f.Add([]byte("{}\n"))
	f.Add([]byte{0, 0, '\n'})
	f.Add([]byte(`{"group":1e99,"sample":-1}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (all []Recorded, whole int64, torn bool, damage Damage) {
			whole, torn, damage, err := readPartial("f", bytes.NewReader(b), func(r Recorded, start, end int64) {
				if start < 0 || end > int64(len(b)) || b[end-1] != '\n' {
					t.Fatalf("a line from byte %d to %d", start, end)
				}
				all = append(all, r)
			})
			if err != nil {
				t.Fatal(err)
			}
			return all, whole, torn, damage
		}
		all, whole, torn, damage := read(b)
		if n := bytes.Count(b, []byte("\n")); len(all)+damage.Lines > n || whole != int64(bytes.LastIndexByte(b, '\n')+1) || torn != (whole < int64(len(b))) {
			t.Fatalf("%d rollouts and %d damaged in %d lines, %d whole bytes of %d, torn %t", len(all), damage.Lines, n, whole, len(b), torn)
		}
		if (damage.Lines > 0) != (damage.First != nil) || damage.First != nil && !strings.HasPrefix(damage.First.Error(), "f:") {
			t.Fatalf("damage %+v", damage)
		}
		again, same, cut, _ := read(b[:whole])
		if same != whole || cut {
			t.Fatalf("the whole lines alone: %d bytes, torn %t", same, cut)
		}
		if d := cmp.Diff(all, again); d != "" {
			t.Fatalf("the whole lines alone give something else:\n%s", d)
		}
		for _, r := range all {
			trainable(t, r.Rollout)
		}
	})
}

func trainable(t *testing.T, r Rollout) {
	t.Helper()
	if len(r.PromptTokenIDs) == 0 || len(r.TokenIDs) == 0 || r.Logprobs != nil && len(r.Logprobs) != len(r.TokenIDs) {
		t.Fatalf("a rollout that cannot be trained on: %+v", r)
	}
}

// Runs of the first versions recorded no verdict, only the reward.
func TestRolloutsWithoutAVerdict(t *testing.T) {
	for reward, want := range map[string]bool{"1": true, "-1": false} {
		got, err := parsePartialLine([]byte(`{"group":0,"problem_id":"p","sample":0,"prompt_token_ids":[1],"token_ids":[2],"logprobs":null,"text":"","finish_reason":"stop","reward":` + reward + `,"weights_version":3}`))
		if err != nil || got.Correct != want {
			t.Errorf("reward %s: correct %t, %v", reward, got.Correct, err)
		}
	}
}
