package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/justrl/justrl/internal/hub"
)

func TestTransfersInLines(t *testing.T) {
	var out bytes.Buffer
	s := newTransfers(&out, "text")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	at := func(after time.Duration, file string, done, total int64) {
		now = now.Add(after)
		s.Progress(hub.Progress{File: file, Done: done, Total: total})
	}
	at(0, "a", 10_000_000, 100_000_000) // that much was there
	at(time.Second, "a", 11_000_000, 100_000_000)
	at(9*time.Second, "a", 30_000_000, 100_000_000)
	at(time.Second, "b", 0, -1)
	at(time.Second, "there", 7, 7)
	s.Notice("trying again")
	at(9*time.Second, "b", 5_000, -1)
	at(time.Second, "a", 100_000_000, 100_000_000)
	want := `a: 30 MB of 100 MB (30 %), 2000 kB/s
trying again
b: 5000 B, 500 B/s
a: all 100 MB are here
`
	if got := out.String(); got != want {
		t.Errorf("wrote\n%swant\n%s", got, want)
	}
	if got := s.Brought(); got != 90_005_000 {
		t.Errorf("%d bytes have come, want 90005000", got)
	}
	out.Reset()
	s = newTransfers(&out, "json")
	s.now = func() time.Time { return now }
	at(0, "a", 0, 10)
	at(time.Second, "a", 10, 10)
	s.Notice("careful")
	for _, want := range []string{`"msg":"fetch","file":"a","bytes":10,"of":10,"bytes_per_s":10`, `"level":"WARN","msg":"careful"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("wrote %s, want %s", out.String(), want)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Close waits for all bars: each must come to an end, whatever became of its file.
func TestTransfersInBars(t *testing.T) {
	s := newTransfers(io.Discard, "text")
	s.bars = mpb.New(mpb.WithOutput(io.Discard))
	for _, p := range []hub.Progress{
		{File: "whole", Done: 0, Total: 10}, {File: "whole", Done: 10, Total: 10}, {File: "whole", Done: 0, Total: 10}, // begun anew
		{File: "there", Done: 7, Total: 7}, {File: "empty", Done: 0, Total: 0}, {File: "unknown", Done: 5, Total: -1}, {File: "part", Done: 5, Total: 50},
	} {
		s.Progress(p)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSizeOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 9_999: "9999 B", 113_407: "113 kB", 272_000_000: "272 MB", 15_200_000_000: "15.2 GB"} {
		if got := sizeOf(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
