package report

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

// What a live page is given in parts is what the report has in one.
func TestLiveIsTheReport(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	whole, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(t, fixtureSteps(6))
	at := strings.Index(string(all[len(all)/2:]), "\n") + len(all)/2 + 1
	steps := journal.StepsPath(dir)
	live := Follow(dir)
	write(t, dir, "steps.jsonl", all[:at+10]) // with the beginning of a line that is being written
	first, err := live.Curves(0)
	if err != nil || first.From != 0 || first.To == 0 || first.To == 6 {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := os.WriteFile(steps, all, 0o644); err != nil {
		t.Fatal(err)
	}
	rest, err := live.Curves(first.To)
	if err != nil || rest.From != first.To || rest.To != 6 || rest.Planned != 6 {
		t.Fatalf("%+v, %v", rest, err)
	}
	for i, want := range whole.figures() {
		for j, c := range want.Curves {
			got := rest.Figures[i].Curves[j].Y
			if !c.Dots {
				got = append(first.Figures[i].Curves[j].Y, got...)
			}
			if d := cmp.Diff(c.Y, got, cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })); d != "" {
				t.Errorf("%s, %s (-report +live):\n%s", want.ID, c.Name, d)
			}
		}
	}
	// Rewound: the client has more than there is, and gets all.
	if err := os.WriteFile(steps, all[:at], 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := live.Curves(6); err != nil || again.From != 0 || again.To != first.To {
		t.Errorf("from %d to %d, %v", again.From, again.To, err)
	}
	if err := os.WriteFile(steps, append(all, "{torn}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Curves(0); err == nil || !strings.Contains(err.Error(), "steps.jsonl:7") {
		t.Errorf("%v does not name the line", err)
	}
	if _, err := live.Rollouts(99); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rollouts that are not there: %v", err)
	}
	if sets, err := live.HeldOut(); err != nil || len(sets) != 1 || len(sets[0].Examples) == 0 {
		t.Errorf("%d sets, %v", len(sets), err)
	}
	if _, err := Follow(t.TempDir()).Curves(0); !errors.Is(err, journal.ErrNotRun) {
		t.Errorf("no run: %v", err)
	}
}

// Events are in the report, the newest first, as text; of very many the newest.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	var all []journal.Event
	for i := range 3 * mostEvents {
		all = append(all, journal.Event{Time: time.Unix(int64(i), 0).UTC(), Step: i, Signature: "reward_drop", Action: "warn", Message: "it fell <b>"})
	}
	write(t, dir, "events.jsonl", lines(t, all))
	got, n, err := Follow(dir).Events()
	if err != nil || n != len(all) {
		t.Fatalf("%d, %v", n, err)
	}
	if d := cmp.Diff(all[2*mostEvents:], got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	page := pageOf(t, dir)
	for _, want := range []string{"reward drop", "it fell &lt;b&gt;", "400\u00a0older ones in events.jsonl", ">600<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
	write(t, dir, "events.jsonl", []byte("{}\n{\n"))
	if err := Write(dir, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "events.jsonl")+":2") {
		t.Errorf("%v does not name the line", err)
	}
}

// Ten that follow a run at once cost it one look at a step's rollouts: who asks
// again, or for an old step, is given what was read; a step whose file was
// replaced is read again, and what is kept has a bound.
func TestRolloutsAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	d, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	put := func(step int, text string) {
		t.Helper()
		if err := d.WriteRollouts(step, []journal.Rollout{{ProblemID: "p", PromptTokenIDs: []int32{1}, TokenIDs: []int32{1}, Text: text, FinishReason: "stop", Reward: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	const followers = 10
	for step := range 2 * keptSteps {
		put(step, "first of "+strconv.Itoa(step))
	}
	live := Follow(dir)
	var reads atomic.Int64
	live.readExcerpt = func(path string, step int) (excerpt, error) {
		reads.Add(1)
		return readExcerpt(path, step)
	}
	ask := func(step int, want string, costs int64) {
		t.Helper()
		reads.Store(0)
		var all errgroup.Group
		for range followers {
			all.Go(func() error {
				e, err := live.Rollouts(step)
				if err == nil && (len(e.Answers) != 1 || e.Answers[0].Spans[0].Text != want) {
					err = fmt.Errorf("%+v, want %q", e, want)
				}
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
		if n := reads.Load(); n != costs {
			t.Errorf("%d who look at step %d read its file %d times, want %d", followers, step, n, costs)
		}
	}
	for step := range 2 * keptSteps {
		ask(step, "first of "+strconv.Itoa(step), 1)
	}
	ask(2*keptSteps-1, "first of "+strconv.Itoa(2*keptSteps-1), 0)
	ask(keptSteps, "first of "+strconv.Itoa(keptSteps), 0) // the oldest that is kept
	ask(keptSteps-1, "first of "+strconv.Itoa(keptSteps-1), 1)
	put(3, "second of 3") // as a resumed run does, which samples a step anew
	ask(3, "second of 3", 1)
	put(3, "third  of 3")
	ask(3, "third  of 3", 1)
	if n := len(live.rollouts.all); n != keptSteps {
		t.Errorf("those of %d steps are kept, want %d", n, keptSteps)
	}
	if err := d.DropRollouts(2 * keptSteps); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Rollouts(3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a step that is not kept: %v", err)
	}
}

// A file of rollouts that is damaged is named, and shown as soon as it is whole.
func TestRolloutsDamaged(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	d, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = d.WriteRollouts(7, []journal.Rollout{{ProblemID: "p", PromptTokenIDs: []int32{1}, TokenIDs: []int32{1}, Text: "so \\boxed{1}", FinishReason: "stop", Reward: 1}})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	path := journal.RolloutsPath(dir, 7)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	live := Follow(dir)
	for _, cut := range []int{0, 4, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := live.Rollouts(7); err == nil || !strings.Contains(err.Error(), path) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d of %d bytes: %v", cut, len(whole), err)
		}
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if e, err := live.Rollouts(7); err != nil || len(e.Answers) == 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// A run that was taken back to a checkpoint and has gone on past where it was
// shows what it did then, and nothing of before.
func TestRewoundAndGrownAgain(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	live := Follow(dir)
	before, err := live.Curves(0)
	if err != nil || before.To != 6 {
		t.Fatalf("%+v, %v", before, err)
	}
	d, _, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing is lost
	if err := d.Rewind(3); err != nil {
		t.Fatal(err)
	}
	for _, s := range fixtureSteps(8)[3:] {
		s.ScoreMean = -0.875
		if err := d.AppendStep(s); err != nil {
			t.Fatal(err)
		}
	}
	after, err := live.Curves(0)
	if err != nil || after.To != 8 {
		t.Fatalf("to %d, %v", after.To, err)
	}
	if y := after.Figures[0].Curves[0].Y; y[2] != before.Figures[0].Curves[0].Y[2] || y[3] != -0.875 || y[5] != -0.875 {
		t.Errorf("rewards %v", y)
	}
}
