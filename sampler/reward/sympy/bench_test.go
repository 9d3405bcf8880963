package sympy

import (
	"math/rand/v2"
	"testing"
)

// One worker, distinct pairs: pairs/s a worker.
func BenchmarkEqual(b *testing.B) {
	p := open(b, 1, nil)
	r := rand.New(rand.NewPCG(7, 2))
	for b.Loop() {
		truth, given := pair(r)
		if _, err := p.Equal(b.Context(), truth, given); err != nil {
			b.Errorf("%q and %q: %v", truth, given, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

func BenchmarkNormalize(b *testing.B) {
	p := open(b, 1, nil)
	r := rand.New(rand.NewPCG(7, 3))
	for b.Loop() {
		if _, err := p.Normalize(b.Context(), latex(r)); err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "texts/s")
}
