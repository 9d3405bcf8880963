package export

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/viewerstest"
	"github.com/justrl/justrl/orchestrator/journal"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// recorded is a run of three steps, measured before, after two and at the end.
func recorded(t *testing.T) string {
	t.Helper()
	run := filepath.Join(t.TempDir(), "my-run")
	d, err := journal.Create(run, journal.Info{ID: "ab12", Started: began}, []byte("seed: 7\nsampling:\n  n: 8 # rollouts\ndata: \"a,b\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	measure := func(steps int, accuracy float64) {
		err = errors.Join(err, d.AppendValidation(journal.Validation{Steps: steps, Accuracy: map[string]float64{"held, out": accuracy}, Ended: at(steps).Add(time.Second)}))
	}
	measure(0, 0.25)
	for i := range 3 {
		if i == 2 {
			measure(2, 0.5)
		}
		err = errors.Join(err, d.AppendStep(step(i)))
	}
	measure(3, 0.75)
	err = errors.Join(err, d.WriteSummary(journal.Summary{Steps: 3, RewardLast: 0.5, WallS: 6}), d.Close())
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func at(steps int) time.Time { return began.Add(time.Duration(steps) * 2 * time.Second) }

func step(i int) journal.Step {
	s := journal.Step{Step: i, ScoreMean: 1.0 / float64(3-i), Total: 2, Ended: at(i + 1)}
	if i == 1 {
		s.Overlong = &journal.Overlong{OverlongShare: 0.125}
	}
	return s
}

// A spreadsheet has every figure of every step, to the last bit, in its column.
func TestCSV(t *testing.T) {
	run, dir := recorded(t), filepath.Join(t.TempDir(), "new", "folder")
	files, err := To(run, "csv", dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{filepath.Join(dir, "steps.csv"), filepath.Join(dir, "validation.csv")}, files); d != "" {
		t.Error(d)
	}
	steps := readCSV(t, files[0])
	if len(steps) != 4 || steps[0][0] != "step" || steps[0][1] != "time" || !slices.IsSorted(steps[0][2:]) {
		t.Fatalf("%q", steps)
	}
	for i := range 3 {
		want := map[string]string{"step": strconv.Itoa(i), "time": at(i + 1).Format(time.RFC3339), "reward/overlong": "", "reward/overlong_penalty": ""}
		for _, s := range step(i).Scalars() {
			want[s.Name] = strconv.FormatFloat(s.Value, 'g', -1, 64)
		}
		got := map[string]string{}
		for c, name := range steps[0] {
			got[name] = steps[1+i][c]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("step %d (-want +got):\n%s", i, d)
		}
	}
	want := [][]string{{"steps", "time", "validation/held, out"}, {"0", "2026-01-02T03:04:06Z", "0.25"}, {"2", "2026-01-02T03:04:10Z", "0.5"}, {"3", "2026-01-02T03:04:12Z", "0.75"}}
	if d := cmp.Diff(want, readCSV(t, files[1])); d != "" {
		t.Errorf("validation.csv (-want +got):\n%s", d)
	}
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each row stands at its step once, with the measurement that was made before it.
func TestMerged(t *testing.T) {
	one := func(step int, name string) row { return row{step: step, figures: []journal.Scalar{{Name: name}}} }
	got := merged([]row{one(0, "s"), one(1, "s"), one(3, "s")}, []row{one(0, "v"), one(2, "v"), one(4, "v"), one(9, "v")})
	var shape []string
	for _, r := range got {
		text := strconv.Itoa(r.step)
		for _, f := range r.figures {
			text += f.Name
		}
		shape = append(shape, text)
	}
	if d := cmp.Diff([]string{"0vs", "1s", "2v", "3s", "4v", "9v"}, shape); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	if _, err := To(t.TempDir(), "csv", t.TempDir()); !errors.Is(err, journal.ErrNotRun) {
		t.Errorf("no run: %v", err)
	}
	if _, err := To(recorded(t), "xls", t.TempDir()); err == nil || !strings.Contains(err.Error(), `"xls"`) {
		t.Errorf("an unknown format: %v", err)
	}
	run, out := recorded(t), t.TempDir()
	if err := os.WriteFile(journal.StepsPath(run), []byte("{\"step\":0}\n{\"step\":x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := To(run, "wandb", out); err == nil || !strings.Contains(err.Error(), "steps.jsonl:2: ") {
		t.Errorf("a broken record: %v", err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("something was written: %v, %v", left, err)
	}
}

// wandb imports it, offline: its history has every row at its step and time, its
// configuration every key, its summary what the run came to.
func TestWandbImportsIt(t *testing.T) {
	run, dir := recorded(t), t.TempDir()
	files, err := To(run, "wandb", dir)
	if err != nil {
		t.Fatal(err)
	}
	// wandb's offline file: 7 bytes, then blocks of 32 KiB with records of a
	// checksum (4 bytes), a length (2), a part's kind (1: whole, 2 to 4: first, middle, last) and data.
	const script = `
import glob, json, os, runpy, struct, sys
os.chdir(sys.argv[2])
sys.argv = [sys.argv[1], "--offline", "--project", "p"]
runpy.run_path(sys.argv[0], run_name="__main__")
import wandb
wandb.teardown() # ends wandb's own process, which writes the file
from wandb.proto import wandb_internal_pb2 as pb
path, = glob.glob("wandb/offline-run-*/*.wandb")
data, pos, part, out = open(path, "rb").read(), 7, b"", {"rows": [], "config": {}, "summary": {}}
while pos + 7 <= len(data):
    if 32768 - pos % 32768 < 7:
        pos += 32768 - pos % 32768
        continue
    _, n, kind = struct.unpack("<IHB", data[pos:pos + 7])
    part += data[pos + 7:pos + 7 + n]
    pos += 7 + n
    if kind not in (1, 4):
        continue
    r = pb.Record(); r.ParseFromString(part); part = b""
    which = r.WhichOneof("record_type")
    if which == "history":
        row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item}
        out["rows"].append(row)
    elif which == "run":
        out["config"].update({u.key: json.loads(u.value_json) for u in r.run.config.update})
        out["id"], out["name"] = r.run.run_id, r.run.display_name
    elif which == "summary":
        out["summary"].update({u.key: json.loads(u.value_json) for u in r.summary.update})
print(json.dumps(out))`
	said := viewerstest.Python(t, script, files[2], t.TempDir())
	lines := strings.Split(said, "\n")
	if want := "4 rows of run justrl-ab12 are imported"; !slices.Contains(lines, want) {
		t.Errorf("%q does not say %q", said, want)
	}
	var got struct {
		ID, Name string
		Rows     []map[string]any
		Config   map[string]any
		Summary  map[string]any
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != "justrl-ab12" || got.Name != "my-run" {
		t.Errorf("it is run %q, called %q", got.ID, got.Name)
	}
	if len(got.Rows) != 4 {
		t.Fatalf("the history has %d rows, want 3 steps and a last measurement: %v", len(got.Rows), got.Rows)
	}
	for i, r := range got.Rows {
		if r["_step"] != float64(i) {
			t.Errorf("row %d is of step %v", i, r["_step"])
		}
		if i == 3 {
			if r["validation/held, out"] != 0.75 {
				t.Errorf("the last measurement: %v", r)
			}
			continue
		}
		if v, _ := r["_timestamp"].(float64); math.Abs(v-float64(at(i+1).Unix())) > 1e-3 {
			t.Errorf("row %d is of %v", i, r["_timestamp"])
		}
		for _, s := range step(i).Scalars() {
			if r[s.Name] != s.Value {
				t.Errorf("row %d: %s is %v, want %v", i, s.Name, r[s.Name], s.Value)
			}
		}
	}
	if got.Rows[0]["validation/held, out"] != 0.25 || got.Rows[2]["validation/held, out"] != 0.5 || got.Rows[1]["reward/overlong"] != 0.125 {
		t.Errorf("what only some rows have: %v", got.Rows)
	}
	if d := cmp.Diff(map[string]any{"n": 8.0}, got.Config["sampling"]); d != "" || got.Config["seed"] != 7.0 || got.Config["data"] != "a,b" {
		t.Errorf("config %v", got.Config)
	}
	if got.Summary["reward_last"] != 0.5 {
		t.Errorf("summary %v", got.Summary)
	}
}
