package sglang_test

import (
	"context"
	"testing"

	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

func TestConformanceOnFake(t *testing.T) {
	for _, c := range []struct {
		name   string
		server sglangtest.Options
		o      sglang.Options
	}{
		{"as it comes", sglangtest.Options{}, sglang.Options{Seeds: true}},
		{"raw log-probs, cut into requests of two", sglangtest.Options{Original: true}, sglang.Options{Seeds: true, MaxSamples: 2}},
		{"without seeds", sglangtest.Options{Unseeded: true}, sglang.Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
				fake, g, s := open(t, c.server, c.o)
				return samplertest.Subject{
					Generator: g, Score: s.Score,
					Running: func(context.Context) (int, error) { return fake.Running(), nil },
					Prompt:  []int32{1, 20, 21, 22}, Vocab: 512, MaxModelLen: 512,
					Tolerance: 1e-6, Reproducible: !c.server.Unseeded, Raw: c.server.Original,
				}
			})
		})
	}
}
