package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/justrl/justrl/internal/hub"
)

// transfers shows files as they come: a bar each on a terminal, else a line in a
// while. Its methods are safe for concurrent use.
type transfers struct {
	log  *slog.Logger // nil for text
	bars *mpb.Progress
	now  func() time.Time

	mu      sync.Mutex
	out     io.Writer
	files   map[string]*transfer
	brought int64 // bytes that have come
}

// transfer is one file that comes.
type transfer struct {
	bar   *mpb.Bar
	done  int64
	began time.Time
	from  int64 // bytes that were there when it began
	told  time.Time
}

// tellEvery is how often a file that comes is worth a line.
const tellEvery = 10 * time.Second

func newTransfers(out io.Writer, format string) *transfers {
	t := &transfers{out: out, now: time.Now, files: map[string]*transfer{}}
	switch f, isFile := out.(*os.File); {
	case format == "json":
		t.log = slog.New(slog.NewJSONHandler(out, nil))
	case isFile && term.IsTerminal(int(f.Fd())):
		t.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
		t.out = t.bars
	}
	return t
}

// Progress is a hub.Options.Progress.
func (t *transfers) Progress(p hub.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[p.File]
	if f == nil {
		f = &transfer{began: t.now(), told: t.now(), done: p.Done, from: p.Done}
		t.files[p.File] = f
		if t.bars != nil {
			f.bar = t.bars.AddBar(max(p.Total, 0),
				mpb.PrependDecorators(decor.Name(shortName(p.File), decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", 30)))
		}
	}
	t.brought += max(p.Done-f.done, 0)
	if f.bar != nil {
		f.bar.EwmaSetCurrent(p.Done, max(t.now().Sub(f.told), time.Millisecond))
		f.told = t.now()
	}
	f.done = p.Done
	whole := p.Total >= 0 && p.Done >= p.Total
	if f.bar == nil && (whole && p.Done > f.from || t.now().Sub(f.told) >= tellEvery) {
		f.told = t.now()
		t.tell(p, f, whole)
	}
	if whole {
		if f.bar != nil {
			f.bar.SetTotal(-1, true) // an empty file's bar, too, is complete
		}
		delete(t.files, p.File)
	}
}

// tell writes a line of how far a file is.
func (t *transfers) tell(p hub.Progress, f *transfer, whole bool) {
	rate := float64(p.Done-f.from) / max(t.now().Sub(f.began).Seconds(), 1e-3)
	switch {
	case t.log != nil:
		t.log.Info("fetch", "file", p.File, "bytes", p.Done, "of", p.Total, "bytes_per_s", rate)
	case whole:
		t.line("%s: all %s are here", p.File, sizeOf(p.Total))
	case p.Total > 0:
		t.line("%s: %s of %s (%.0f %%), %s/s", p.File, sizeOf(p.Done), sizeOf(p.Total), 100*float64(p.Done)/float64(p.Total), sizeOf(int64(rate)))
	default:
		t.line("%s: %s, %s/s", p.File, sizeOf(p.Done), sizeOf(int64(rate)))
	}
}

// Notice is a hub.Options.Notice.
func (t *transfers) Notice(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log != nil {
		t.log.Warn(text)
		return
	}
	t.line("%s", text)
}

// Brought is how many bytes have come so far.
func (t *transfers) Brought() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.brought
}

func (t *transfers) line(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...) // a lost progress line must not end a transfer
}

// Close takes the bars of files that did not come to their end away.
func (t *transfers) Close() error {
	if t.bars == nil {
		return nil
	}
	t.mu.Lock()
	for _, f := range t.files {
		f.bar.Abort(false)
	}
	t.mu.Unlock()
	t.bars.Wait()
	return nil
}

// shortName is the end of a name that is long.
func shortName(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return "…" + string(r[len(r)-most+1:])
	}
	return s
}
