package cli

import (
	"strings"
	"testing"
	"time"
)

// What a terminal shows of a run, moment after moment.
func TestStage(t *testing.T) {
	clock := time.Unix(0, 0)
	s := newStage(1000, func() time.Time { return clock })
	s.sizes["sample"] = 64
	var out strings.Builder
	show := func(width int) {
		line := s.line(width)
		if len(line) > width {
			t.Errorf("%q is wider than %d", line, width)
		}
		out.WriteString(line + "|\n")
	}
	after := func(d time.Duration) { clock = clock.Add(d) }

	show(80) // nothing yet
	s.enter(-1, "publish")
	after(1400 * time.Millisecond)
	show(80)
	s.enter(0, "sample")
	show(80)
	after(20 * time.Second)
	for range 16 {
		s.rollout(100)
	}
	show(80)
	show(100)
	show(50) // no room for a bar
	show(20)
	show(0)
	for range 48 {
		s.rollout(100)
	}
	after(40 * time.Second)
	show(100)
	s.enter(0, "update") // the first one: nobody knows how long it takes
	after(3 * time.Second)
	show(80)
	after(87 * time.Second)
	s.left(38*time.Hour + 12*time.Minute)
	s.enter(1, "sample")
	s.enter(1, "update")
	after(45 * time.Second)
	show(100)
	after(2 * time.Minute) // longer than the last time
	show(100)
	golden(t, "progress-terminal", out.String())
}
