package tensorboard

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/justrl/justrl/internal/viewerstest"
	"github.com/justrl/justrl/orchestrator/journal"
)

var update = flag.Bool("update", false, "rewrite golden files")

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newRun is a run directory and what it recorded so far: n steps, a validation
// before them and one after.
func newRun(t *testing.T, n int) *journal.Dir {
	t.Helper()
	d, err := journal.Create(filepath.Join(t.TempDir(), "run"), journal.Info{ID: "r", Started: began}, []byte("seed: 1\nsteps: 9\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	validate(t, d, 0)
	for i := range n {
		record(t, d, i)
	}
	if n > 0 {
		validate(t, d, n)
	}
	return d
}

func step(i int) journal.Step {
	s := journal.Step{Step: i, ScoreMean: float64(i)/4 - 1, ResponseMean: 100 + float64(i), Total: 2, Sample: 1.5, Rate: 640, Ended: began.Add(time.Duration(i+1) * 2 * time.Second)}
	s.PGLoss, s.Entropy = -0.125, 1.0/float64(i+1)
	if i == 1 {
		s.ServerEvents = []journal.ServerEvent{{Time: s.Ended, Server: "http://a", Event: journal.ServerFenced, Reason: "went away"}}
	}
	return s
}

func record(t *testing.T, d *journal.Dir, i int) {
	t.Helper()
	if err := d.AppendStep(step(i)); err != nil {
		t.Fatal(err)
	}
}

func validate(t *testing.T, d *journal.Dir, steps int) {
	t.Helper()
	v := journal.Validation{Steps: steps, Accuracy: map[string]float64{"held": float64(steps) / 8}, Sampled: map[string]float64{"held": 0.5}, Seconds: 3, Ended: began.Add(time.Duration(steps)*2*time.Second + time.Second)}
	if err := d.AppendValidation(v); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, run string) *Writer {
	t.Helper()
	w, err := Open(run, filepath.Join(run, Folder), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// eventFile is the one that is there.
func eventFile(t *testing.T, run string) []byte {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(run, Folder))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || !ours.MatchString(entries[0].Name()) {
		t.Fatalf("%v, want one event file", entries)
	}
	b, err := os.ReadFile(filepath.Join(run, Folder, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// CRC-32C of RFC 3720, appendix B.4, and its mask as TensorFlow's crc32c.h defines it.
func TestMasked(t *testing.T) {
	for want, b := range map[uint32][]byte{0x8a9136aa: make([]byte, 32), 0xe3069283: []byte("123456789")} {
		if got := masked(b); got != (want>>15|want<<17)+0xa282ead8 {
			t.Errorf("%q: %#x", b, got)
		}
	}
}

// The file of a short run, as it is read by a small reader of this test's own.
func TestGolden(t *testing.T) {
	run := newRun(t, 2).Path()
	w := open(t, run)
	w.now = func() time.Time { return began.Add(time.Hour) }
	w.StepDone(step(2), 9)
	w.Validated(2, "held", 0.75, nil)
	w.Event(journal.Event{Time: began.Add(time.Hour), Step: 2, Signature: "length_explosion", Action: "warn", Message: "it grew"})
	got := read(t, eventFile(t, run))
	golden := filepath.Join("testdata", "short.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("(-want +got); run with -update if it was meant:\n%s", d)
	}
}

// read shows the records of an event file, which must be whole.
func read(t *testing.T, b []byte) string {
	t.Helper()
	var out string
	for len(b) > 0 {
		n := binary.LittleEndian.Uint64(b)
		data := b[12 : 12+n]
		if binary.LittleEndian.Uint32(b[8:]) != masked(b[:8]) || binary.LittleEndian.Uint32(b[12+n:]) != masked(data) {
			t.Fatalf("a record's checksum is wrong after\n%s", out)
		}
		out, b = out+"event\n"+fields(t, data, "  "), b[16+n:]
	}
	return out
}

func fields(t *testing.T, b []byte, indent string) string {
	t.Helper()
	var out string
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		v := b[:n]
		b = b[n:]
		out += fmt.Sprintf("%s%d: ", indent, num)
		switch typ {
		case protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			out += fmt.Sprintln(x)
		case protowire.Fixed64Type:
			x, _ := protowire.ConsumeFixed64(v)
			out += fmt.Sprintf("%.6f\n", math.Float64frombits(x))
		case protowire.Fixed32Type:
			x, _ := protowire.ConsumeFixed32(v)
			out += fmt.Sprintln(math.Float32frombits(x))
		default:
			x, _ := protowire.ConsumeBytes(v)
			if message(x) {
				out += "\n" + fields(t, x, indent+"  ")
			} else {
				out += fmt.Sprintf("%q\n", x)
			}
		}
	}
	return out
}

// message tells a nested message from a text: texts here begin with a letter, a
// star or a space, which no field of ours has for its tag.
func message(b []byte) bool {
	return len(b) > 0 && (b[0] < ' ' || b[0] == 0x4a && len(b) > 1 && int(b[1]) == len(b)-2)
}

// What is written anew is what was there, less what a rewind took back.
func TestResume(t *testing.T) {
	d := newRun(t, 0)
	w := open(t, d.Path())
	for i := range 5 {
		record(t, d, i)
		w.StepDone(step(i), 9)
	}
	lived := eventFile(t, d.Path())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, d.Path()); string(eventFile(t, d.Path())) != string(lived) {
		t.Error("the file that is written at once is not that which grew")
	} else if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Rewind(3); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".new-17", "events.out.tfevents.9999999999.other.trainer"} { // a kill's, and another program's
		if err := os.WriteFile(filepath.Join(d.Path(), Folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, d.Path())
	if err := os.Remove(filepath.Join(d.Path(), Folder, "events.out.tfevents.9999999999.other.trainer")); err != nil {
		t.Error("another program's file is gone")
	}
	rest := newRun(t, 0)
	for i := range 3 {
		record(t, rest, i)
	}
	open(t, rest.Path())
	if got, want := read(t, eventFile(t, d.Path())), read(t, eventFile(t, rest.Path())); got != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

// What the run noticed is there again after a resume.
func TestEventsAreWrittenAgain(t *testing.T) {
	d := newRun(t, 2)
	e := journal.Event{Time: began.Add(time.Minute), Step: 1, Signature: "reward_drop", Action: "warn", Message: "it fell"}
	if err := d.AppendEvent(e); err != nil {
		t.Fatal(err)
	}
	open(t, d.Path())
	if got := read(t, eventFile(t, d.Path())); !strings.Contains(got, "**reward_drop** (warn): it fell") {
		t.Errorf("no event in\n%s", got)
	}
}

// A disk that is full is told once, and ends nothing.
func TestFailureIsToldOnce(t *testing.T) {
	run := newRun(t, 1).Path()
	var told []error
	w, err := Open(run, filepath.Join(run, Folder), func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("SKIPPED: there is no /dev/full")
	}
	_ = w.f.Close()
	w.f = full
	for i := range 3 {
		w.StepDone(step(i), 9)
	}
	if len(told) != 1 {
		t.Errorf("told %q", told)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.TempDir(), t.TempDir(), nil); !errors.Is(err, journal.ErrNotRun) {
		t.Errorf("%v, want that there is no run", err)
	}
}

// TensorBoard reads what we write: every scalar under its name, at its step, each
// step once, and of a run that it has watched through a resume the steps that were
// taken back only as they came again.
func TestTensorBoardReadsIt(t *testing.T) {
	d := newRun(t, 0)
	w := open(t, d.Path())
	for i := range 6 {
		record(t, d, i)
		w.StepDone(step(i), 9)
	}
	w.Validated(5, "held", 0.875, nil)
	w.Event(journal.Event{Time: began, Step: 5, Signature: "reward_drop", Action: "warn", Message: "it fell"})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "events.out.tfevents.0000000001.before") // as if the reader had seen it
	if err := os.WriteFile(kept, eventFile(t, d.Path()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Rewind(4); err != nil {
		t.Fatal(err)
	}
	w = open(t, d.Path())
	again := step(4)
	again.ScoreMean = 42
	w.StepDone(again, 9)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const script = `
import json, shutil, sys
from tensorboard.backend.event_processing import event_accumulator as ea, plugin_event_accumulator as pea
tb, before = sys.argv[1:]
def look(folder):
    a = ea.EventAccumulator(folder, size_guidance={ea.SCALARS: 0, ea.TENSORS: 0}); a.Reload()
    tags = a.Tags()
    out = {"scalars": {t: [[e.step, e.wall_time, e.value] for e in a.Scalars(t)] for t in tags["scalars"]}}
    p = pea.EventAccumulator(folder, tensor_size_guidance={"scalars": 0, "text": 0}); p.Reload() # what the program itself uses
    read = lambda e: e.tensor_proto.string_val[0].decode()
    out["texts"] = {t: [[e.step, read(e)] for e in p.Tensors(t)] for t in p.PluginTagToContent("text")}
    out["again"] = {t: [e.step for e in p.Tensors(t)] for t in p.PluginTagToContent("scalars")}
    return out
fresh = look(tb)
shutil.copy(before, tb)
print(json.dumps([fresh, look(tb)]))`
	var got []struct {
		Scalars map[string][][3]float64
		Texts   map[string][][2]any
		Again   map[string][]int
	}
	if err := json.Unmarshal([]byte(viewerstest.Python(t, script, filepath.Join(d.Path(), Folder), kept)), &got); err != nil {
		t.Fatal(err)
	}
	var want [][3]float64
	for i := range 5 {
		want = append(want, [3]float64{float64(i), float64(began.Unix() + 2*int64(i+1)), step(i).ScoreMean})
	}
	want[4][2] = 42
	for i, looked := range got {
		if d := cmp.Diff(want, looked.Scalars["critic/score/mean"]); d != "" {
			t.Errorf("look %d: critic/score/mean (-want +got):\n%s", i, d)
		}
		for _, s := range step(0).Scalars() {
			if n, again := len(looked.Scalars[s.Name]), looked.Again[s.Name]; n != 5 || !slices.Equal(again, []int{0, 1, 2, 3, 4}) {
				t.Errorf("look %d: %s is there for %d steps, and in the program for %v, want 5", i, s.Name, n, again)
			}
		}
		if v := looked.Scalars["validation/held"]; len(v) != 1 || v[0][0] != 0 || v[0][2] != 0 {
			t.Errorf("look %d: validation/held is %v, want that before the first step alone", i, v)
		}
		if c := looked.Texts["config"]; len(c) != 1 || c[0][1] != "    seed: 1\n    steps: 9" {
			t.Errorf("look %d: the configuration is %v", i, c)
		}
		if s := looked.Texts["servers"]; len(s) != 1 || s[0][1] != "http://a is fenced: went away" {
			t.Errorf("look %d: servers: %v", i, s)
		}
	}
}
