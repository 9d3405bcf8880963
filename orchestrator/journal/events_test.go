package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Events are kept in order over a crash and a reopening; a rewind drops those of
// the steps that will happen again, and a run that is started anew has none.
func TestEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := Create(path, Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{Time: time.Unix(1, 0).UTC(), Step: -1, Signature: "paused", Action: "pause", Message: "waits"},
		{Time: time.Unix(2, 0).UTC(), Step: 4, Signature: "reward_drop", Action: "warn", Message: "fell", Evidence: map[string]float64{"drop": 0.5}},
		{Time: time.Unix(3, 0).UTC(), Step: 5, Signature: "truncated", Action: "stop", Message: "cut"},
	}
	for _, e := range want {
		if err := d.AppendEvent(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(EventsPath(path), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"step":6,"signa`) // a process that was killed
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var read []Event
	for e, err := range Lines[Event](EventsPath(path)) {
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, e)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("read while it is torn (-want +got)\n%s", diff)
	}
	if d, _, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Events(); err != nil || !cmp.Equal(want, got) {
		t.Errorf("opened again: %v, %v", got, err)
	}
	if err := d.Rewind(5); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Events(); err != nil || !cmp.Equal(want[:2], got) {
		t.Errorf("after a rewind to step 5: %v, %v", got, err)
	}
	if err := errors.Join(d.Pause("a reason"), d.WriteFixed([]Fixed{{Text: "7"}}), d.Close()); err != nil {
		t.Fatal(err)
	}
	if d, err = Create(path, Info{}, nil); err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing more is written
	events, err := d.Events()
	_, paused, pausedErr := d.Paused()
	fixed, fixedErr := d.ReadFixed()
	if err := errors.Join(err, pausedErr, fixedErr); err != nil || len(events) > 0 || paused || len(fixed) > 0 {
		t.Errorf("a new run has events %v, paused %t, kept %v, %v", events, paused, fixed, err)
	}
}

func TestPaused(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "run"), Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing is lost
	for _, tc := range []struct {
		name, file, reason string
	}{
		{"by the run", "reward_drop: it fell\n", "reward_drop: it fell"},
		{"touched by somebody", "", ""},
		{"more lines", " one\ntwo\n", "one"},
	} {
		if err := os.WriteFile(PausedPath(d.Path()), []byte(tc.file), 0o666); err != nil {
			t.Fatal(err)
		}
		if reason, paused, err := d.Paused(); reason != tc.reason || !paused || err != nil {
			t.Errorf("%s: %q, %t, %v", tc.name, reason, paused, err)
		}
	}
	if err := os.Remove(PausedPath(d.Path())); err != nil {
		t.Fatal(err)
	}
	if _, paused, err := d.Paused(); paused || err != nil {
		t.Errorf("without the file: %t, %v", paused, err)
	}
}

// Kept answers that somebody has damaged are named by file and line, and what to do.
func TestFixed(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "run"), Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing is lost
	want := []Fixed{{ProblemID: "a", GroundTruth: "7", Text: "so\n\\boxed{7} <&>", Reward: 1, Correct: true}, {ProblemID: "b", Text: "8", Reward: -1}}
	if err := d.WriteFixed(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFixed(); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(FixedPath(d.Path()), []byte("{}\n{oops\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFixed(); err == nil || !strings.Contains(err.Error(), "answers.jsonl:2: ") || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("of a damaged file: %v", err)
	}
}

// Whatever is in the file, it is read or refused with its place.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"step":4,"signature":"a","action":"warn","evidence":{"x":1}}` + "\n"))
	f.Add([]byte("{}\nnull\n[]\n"))
	f.Add([]byte(`{"evidence":{"x":1e999}}` + "\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := EventsPath(dir)
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range Lines[Event](path) {
			if n++; err != nil && !strings.HasPrefix(err.Error(), fmt.Sprintf("%s:%d: ", path, n)) {
				t.Errorf("%v does not name line %d", err, n)
			}
		}
		if n > strings.Count(string(b), "\n") {
			t.Errorf("%d events of %q", n, b)
		}
	})
}
