//go:build torch

package torch

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/updater/engine"
)

// BenchmarkEngine samples 8 answers to each of 64 prompts with the shipped
// policy, once with rows that do not see one another and once with libtorch's
// products over the whole batch.
func BenchmarkEngine(b *testing.B) {
	dir := filepath.Join("..", "..", "examples", "arithmetic", "policy")
	for _, batched := range []bool{false, true} {
		name := "invariant"
		if batched {
			name = "batched"
		}
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, dir, engine.Options{MaxLen: 256}, func(o *DecoderOptions) { o.Batched = batched; o.CacheBytes = 512 << 20 })
			tokens := 0
			for b.Loop() {
				var g errgroup.Group
				for i := range 64 {
					rng := rand.New(rand.NewPCG(1, uint64(i)))
					q := engine.Request{N: 8, Seed: int64(i), Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 64, RepetitionPenalty: 1, IgnoreEOS: true}
					for range 24 {
						q.Prompt = append(q.Prompt, rng.Int32N(300))
					}
					g.Go(func() error {
						_, err := e.Generate(b.Context(), q)
						return err
					})
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				tokens += 64 * 8 * 64
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
