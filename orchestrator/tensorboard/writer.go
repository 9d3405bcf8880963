package tensorboard

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Folder is that of the event file in a run directory.
const Folder = "tb"

// ours are the files of this package; another program's in the folder stay.
// While one is filled TensorBoard must not take it for an event file.
var (
	ours = regexp.MustCompile(`^events\.out\.tfevents\.([0-9]{10,})\..*\.justrl$`)
	half = regexp.MustCompile(`^\.new-[0-9]+$`)
)

var _ orchestrator.Observer = (*Writer)(nil)

// Writer adds to the event file of a run that goes on. It is an
// orchestrator.Observer, safe for concurrent use. What cannot be written is told
// once; from then on nothing is, because a run does not stop for its figures.
type Writer struct {
	told func(error)
	now  func() time.Time
	path string

	mu sync.Mutex
	f  *os.File // nil after a failure and after Close
}

// Open writes the figures that the run directory run holds into a new event
// file in dir, which is made where it is missing, puts it in the place of those
// that this package wrote there before, and goes on in it. told hears of the first
// failure afterwards. The caller closes the Writer.
func Open(run, dir string, told func(error)) (*Writer, error) {
	w := &Writer{told: told, now: time.Now}
	if err := w.open(run, dir); err != nil {
		return nil, fmt.Errorf("TensorBoard's files: %w", err)
	}
	return w, nil
}

func (w *Writer) open(run, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	old, last, err := files(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := w.fill(f, run); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil { // for a TensorBoard of another user
		return err
	}
	// Later than all that are there: files are read in the order of their names.
	path := filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%s.%d.justrl", max(w.now().Unix(), last+1), host(), os.Getpid()))
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	w.f, w.path = f, path
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			w.failed(err)
			break
		}
	}
	return nil
}

// files are those of this package in dir, and the newest one's seconds.
func files(dir string) (all []string, last int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		m := ours.FindStringSubmatch(e.Name())
		if !e.Type().IsRegular() || m == nil && !half.MatchString(e.Name()) {
			continue
		}
		all = append(all, filepath.Join(dir, e.Name()))
		if m != nil {
			seconds, _ := strconv.ParseInt(m[1], 10, 64) // of a name that is too long it is the largest
			last = max(last, seconds)
		}
	}
	return all, min(last, 1<<40), nil
}

func host() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return strings.ReplaceAll(name, "/", "_")
}

// fill writes all that the run has recorded.
func (w *Writer) fill(f *os.File, run string) error {
	info, err := journal.ReadInfo(run)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<18)
	put := func(b []byte) {
		_, _ = out.Write(b) // Flush tells
	}
	put(head(info.Started))
	config, err := os.ReadFile(filepath.Join(run, "config.yaml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(config) > 0 {
		put(text(info.Started, 0, "config", "    "+strings.ReplaceAll(strings.TrimSpace(string(config)), "\n", "\n    ")))
	}
	measured, err := journal.All[journal.Validation](journal.ValidationsPath(run))
	if err != nil {
		return err
	}
	upTo := func(steps int) { // in the order in which it happened
		for len(measured) > 0 && measured[0].Steps <= steps {
			put(validation(measured[0], info.Started))
			measured = measured[1:]
		}
	}
	noticed, err := journal.All[journal.Event](journal.EventsPath(run))
	if err != nil {
		return err
	}
	noticedUpTo := func(step int) {
		for len(noticed) > 0 && noticed[0].Step <= step {
			put(signature(noticed[0]))
			noticed = noticed[1:]
		}
	}
	clock := journal.Clock{Started: info.Started}
	for s, err := range journal.Lines[journal.Step](journal.StepsPath(run)) {
		if err != nil {
			return err
		}
		upTo(s.Step)
		put(stepRecords(s, clock.At(s)))
		noticedUpTo(s.Step)
	}
	upTo(math.MaxInt)
	noticedUpTo(math.MaxInt)
	return out.Flush()
}

// stepRecords are those of a step: its figures, and what happened to servers.
func stepRecords(s journal.Step, at time.Time) []byte {
	b := scalars(at, s.Step, s.Scalars())
	for _, e := range s.ServerEvents {
		b = append(b, text(e.Time, s.Step, "servers", serverEvent(e))...)
	}
	return b
}

// validation is what an Observer is told of it, so that the same is in the file
// whenever it was written.
func validation(v journal.Validation, started time.Time) []byte {
	at := v.Ended
	if at.IsZero() {
		at = started
	}
	v.Seconds, v.Unscored = 0, nil
	return scalars(at, v.Steps, v.Scalars())
}

func serverEvent(e journal.ServerEvent) string {
	switch e.Event {
	case journal.ServerRejoined:
		return fmt.Sprintf("%s rejoined after %.1f s with weights version %d", e.Server, e.Seconds, e.Version)
	case journal.ServerStraggles:
		return fmt.Sprintf("%s took %.1f s over a request, where %.1f s is usual", e.Server, e.Seconds, e.Usual)
	}
	return fmt.Sprintf("%s is %s: %s", e.Server, e.Event, e.Reason)
}

// Path is the event file.
func (w *Writer) Path() string { return w.path }

// Phase implements orchestrator.Observer.
func (w *Writer) Phase(int, string) {}

// StepDone implements orchestrator.Observer.
func (w *Writer) StepDone(s journal.Step, _ int) {
	at := s.Ended
	if at.IsZero() {
		at = w.now()
	}
	w.write(stepRecords(s, at))
}

// Validated implements orchestrator.Observer.
func (w *Writer) Validated(step int, set string, accuracy float64, sampled *float64) {
	v := journal.Validation{Accuracy: map[string]float64{set: accuracy}}
	if sampled != nil {
		v.Sampled = map[string]float64{set: *sampled}
	}
	w.write(scalars(w.now(), step+1, v.Scalars()))
}

// Notice implements orchestrator.Observer.
func (w *Writer) Notice(string, ...any) {}

// Event implements orchestrator.Observer.
func (w *Writer) Event(e journal.Event) {
	w.write(signature(e))
}

// signature is a text under the tag "events".
func signature(e journal.Event) []byte {
	return text(e.Time, e.Step, "events", fmt.Sprintf("**%s** (%s): %s", e.Signature, e.Action, e.Message))
}

// Close ends the file. It is safe to call twice.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// write adds records, whole: TensorBoard may be reading.
func (w *Writer) write(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return
	}
	if _, err := w.f.Write(b); err != nil {
		_ = w.f.Close() // what was to be said is said
		w.f = nil
		w.failed(err)
	}
}

func (w *Writer) failed(err error) {
	w.told(fmt.Errorf("TensorBoard's files: %w; steps.jsonl has it all, and justrl run --resume writes them again", err))
}
