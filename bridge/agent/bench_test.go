package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/bridge/share"
)

// BenchmarkPull is a snapshot of 256 MiB over the loopback address, hashed by
// the trainer, checked and synced here, against a plain copy of the same bytes
// with fsync, in turns: the metric is a ratio of rates in one run. "next" is
// the same for a snapshot of which a tenth of the chunks have changed. Processor
// seconds are both ends' together; they decide on a machine that is busy.
func BenchmarkPull(b *testing.B) {
	const size = 256 << 20
	tr := newTrainer(b, share.ChunkSize)
	weights := random(size, 1)
	first := tr.publish(b, 1, blobs{"model.safetensors": weights})
	for i := 0; i < size; i += 10 * share.ChunkSize {
		weights[i] ^= 1
	}
	next := tr.publish(b, 2, blobs{"model.safetensors": weights})
	var plain, whole, part cost
	var fetched int64
	for b.Loop() {
		dir := b.TempDir()
		plain.add(b, func() error {
			return copied(filepath.Join(first.Dir, "model.safetensors"), filepath.Join(dir, "copy"))
		})
		anew := newTrainer(b, share.ChunkSize) // that has hashed nothing yet
		anew.root = tr.root
		url := serve(b, anew.share)
		p := newPuller(b, url, filepath.Join(dir, "agent"))
		whole.add(b, func() error {
			_, err := p.pull(b.Context(), asked(first), &counts{})
			return err
		})
		var c counts
		part.add(b, func() error {
			_, err := p.pull(b.Context(), asked(next), &c)
			return err
		})
		fetched = c.pulled().Fetched
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(plain.wall.Seconds()/whole.wall.Seconds(), "x-copy/whole")
	b.ReportMetric(plain.wall.Seconds()/part.wall.Seconds(), "x-copy/next")
	for _, c := range []struct {
		name string
		cost
	}{{"copy", plain}, {"whole", whole}, {"next", part}} {
		b.ReportMetric(c.cpu.Seconds()/float64(b.N), "cpu-s/"+c.name)
	}
	b.ReportMetric(float64(fetched)/size, "fetched/next")
}

// cost adds up what something takes.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(b *testing.B, do func() error) {
	b.Helper()
	began, used := time.Now(), processor(b)
	if err := do(); err != nil {
		b.Fatal(err)
	}
	c.wall += time.Since(began)
	c.cpu += processor(b) - used
}

// processor is the time that this process has had on a processor.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func copied(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
