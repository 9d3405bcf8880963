package report

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
