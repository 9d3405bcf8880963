package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Event is something that a run noticed about itself, a line of events.jsonl:
// a failure signature at its onset, or that the run waits.
type Event struct {
	Time time.Time `json:"time"`
	// Step is the last that had been recorded, as in steps.jsonl; -1 before the first.
	Step int `json:"step"`
	// Signature names it: a section of the configuration's monitor, or [SignaturePaused].
	Signature string `json:"signature"`
	// Action is what the run does about it: warn, pause or stop.
	Action  string `json:"action"`
	Message string `json:"message"` // one line for people, numbers included
	// Evidence is the figures that it was found by.
	Evidence map[string]float64 `json:"evidence,omitempty"`
}

// SignaturePaused is that of the event of a run that waits because it found the
// file of [PausedPath] there, put by somebody or left by an earlier process.
const SignaturePaused = "paused"

// EventsPath is the file of [Event] lines in a run directory; [Lines] reads it.
func EventsPath(run string) string { return filepath.Join(run, "events.jsonl") }

// PausedPath is the file that a run waits for the removal of, at its next step
// boundary. Its first line is the reason.
func PausedPath(run string) string { return filepath.Join(run, "paused") }

// AppendEvent adds a line to events.jsonl and syncs it.
func (d *Dir) AppendEvent(e Event) error { return d.events.append(e) }

// Events returns what has been noticed so far.
func (d *Dir) Events() ([]Event, error) { return readLines[Event](d.events) }

// Pause leaves the file that the run waits for the removal of.
func (d *Dir) Pause(reason string) error { return d.write("paused", []byte(reason+"\n")) }

// Paused tells whether that file is there, and the first line of it.
func (d *Dir) Paused() (reason string, paused bool, err error) {
	b, err := os.ReadFile(PausedPath(d.path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("run directory: %w", err)
	}
	reason, _, _ = strings.Cut(string(b), "\n")
	return strings.TrimSpace(reason), true, nil
}
