package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// stage is what a step is doing and how far it is, as a line of a terminal. It
// is safe for concurrent use.
type stage struct {
	now   func() time.Time
	steps int
	sizes map[string]int64 // rollouts of the phases that have some: sample, validate

	mu     sync.Mutex
	step   int
	phase  string // "" before the first
	began  time.Time
	done   int64                    // rollouts
	tokens int64                    // of them
	took   map[string]time.Duration // by each phase, the last time
	eta    time.Duration            // of the run; 0 while it is not known
}

func newStage(steps int, now func() time.Time) *stage {
	return &stage{now: now, steps: steps, sizes: map[string]int64{}, took: map[string]time.Duration{}}
}

// enter begins a phase.
func (s *stage) enter(step int, phase string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != "" {
		s.took[s.phase] = now.Sub(s.began)
	}
	s.step, s.phase, s.began, s.done, s.tokens = max(step, 0), phase, now, 0, 0
}

// rollout counts one that has come.
func (s *stage) rollout(tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.tokens += int64(tokens)
}

// left says how long the run still takes.
func (s *stage) left(eta time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eta = eta
}

// line is the stage in at most width columns: where the run is, a bar, rollouts
// and tokens a second where there are some, and the time that is left.
func (s *stage) line(width int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == "" {
		return ""
	}
	head := fmt.Sprintf("step %d/%d  %-10s", s.step+1, s.steps, s.phase)
	share, tail := s.far()
	if s.eta > 0 {
		tail += "  run " + short(s.eta) + " left"
	}
	bar := ""
	if room := min(32, width-len(head)-len(tail)-3); share >= 0 && room >= 7 {
		full := min(int(share*float64(room-2)), room-2)
		bar = "[" + strings.Repeat("=", max(full-1, 0)) + strings.Repeat(">", min(full, 1)) + strings.Repeat("-", room-2-full) + "] "
	}
	text := head + " " + bar + tail
	for utf8.RuneCountInString(text) > max(width, 0) { // all of it is ASCII
		text = text[:width]
	}
	return text
}

// far is the share of the stage that is done, below 0 where nothing tells, and that in words.
func (s *stage) far() (share float64, words string) {
	spent := s.now().Sub(s.began)
	size, usual := s.sizes[s.phase], s.took[s.phase]
	switch {
	case size > 0:
		words = fmt.Sprintf("%d/%d rollouts", s.done, size)
		if s.tokens > 0 && spent > 0 {
			words += fmt.Sprintf("  %.0f tok/s", float64(s.tokens)/spent.Seconds())
		}
		words += "  " + short(spent)
		if s.done > 0 && s.done < size {
			words += ", about " + short(time.Duration(float64(spent)/float64(s.done)*float64(size-s.done))) + " left"
		}
		return min(float64(s.done)/float64(size), 1), words
	case usual > 0:
		return min(float64(spent)/float64(usual), 1), short(spent) + " of about " + short(usual)
	default:
		return -1, short(spent)
	}
}

// short is a duration as people say it: 0.4s, 12s, 3m20s, 5h10m.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	default:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
}
