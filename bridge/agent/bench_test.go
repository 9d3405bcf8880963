package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge/share"
)

// BenchmarkPull is a snapshot of 256 MiB over the loopback address, hashed by
// the trainer, checked and synced here, against a plain copy of the same bytes
// with fsync, in turns: the metric is a ratio of rates in one run. "next" is
// the same for a snapshot of which a tenth of the chunks have changed.
func BenchmarkPull(b *testing.B) {
	const size = 256 << 20
	tr := newTrainer(b, share.ChunkSize)
	weights := random(size, 1)
	first := tr.publish(b, 1, blobs{"model.safetensors": weights})
	for i := 0; i < size; i += 10 * share.ChunkSize {
		weights[i] ^= 1
	}
	next := tr.publish(b, 2, blobs{"model.safetensors": weights})
	var plain, whole, part time.Duration
	var fetched int64
	for b.Loop() {
		dir := b.TempDir()
		plain += timed(b, func() error {
			return copied(filepath.Join(first.Dir, "model.safetensors"), filepath.Join(dir, "copy"))
		})
		anew := newTrainer(b, share.ChunkSize) // that has hashed nothing yet
		anew.root = tr.root
		url := serve(b, anew.share)
		p := newPuller(b, url, filepath.Join(dir, "agent"))
		whole += timed(b, func() error {
			_, err := p.pull(b.Context(), asked(first), &counts{})
			return err
		})
		var c counts
		part += timed(b, func() error {
			_, err := p.pull(b.Context(), asked(next), &c)
			return err
		})
		fetched = c.pulled().Fetched
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(plain.Seconds()/whole.Seconds(), "x-copy/whole")
	b.ReportMetric(plain.Seconds()/part.Seconds(), "x-copy/next")
	b.ReportMetric(float64(fetched)/size, "fetched/next")
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
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
