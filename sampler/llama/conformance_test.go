package llama_test

import (
	"context"
	"testing"
	"time"

	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/samplertest"
)

func TestConformanceOnFake(t *testing.T) {
	samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
		fake, g, s := open(t, openaitest.Options{TokenTime: 10 * time.Microsecond})
		return samplertest.Subject{
			Generator: g, Score: s.Score,
			Running: func(context.Context) (int, error) { return fake.Running(), nil },
			Prompt:  []int32{1, 20, 21, 22}, Vocab: 512, MaxModelLen: 512, Reproducible: true, Raw: true,
		}
	})
}
