package cli

import (
	"context"
	"errors"
	"testing"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// saying gives answers by temperature, seed and sample.
type saying func(temperature float64, seed int64) (ids []int32, logprobs []float32)

func (f saying) Generate(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	var out []sampler.Rollout
	for j := range r.Count {
		ids, logprobs := f(r.Params.Temperature, r.Seed+int64(j))
		if ids == nil {
			return nil, &endpoint.ReplyError{Err: errors.New("not to be told")}
		}
		out = append(out, sampler.Rollout{Sample: j, TokenIDs: ids, Logprobs: logprobs})
	}
	return out, nil
}

func TestBehaves(t *testing.T) {
	calls := 0
	for _, c := range []struct {
		name    string
		dialect sampler.Dialect
		says    saying
		want    manners
		refused bool
	}{
		{"right", "", func(temp float64, seed int64) ([]int32, []float32) {
			if temp == 0 {
				return []int32{1, 2}, []float32{-1, -1}
			}
			return []int32{int32(seed), 5}, []float32{-3, -3}
		}, manners{heeded, honoured}, false},
		{"greedy at every temperature", "", func(float64, int64) ([]int32, []float32) { return []int32{7, 8}, []float32{-5, -5} },
			manners{heeded, ignored}, true},
		{"sure of one answer", "", func(float64, int64) ([]int32, []float32) { return []int32{7, 8}, []float32{-0.1, -0.1} },
			manners{heeded, ""}, false},
		{"sampled at temperature 0", "", func(_ float64, seed int64) ([]int32, []float32) {
			return []int32{int32(seed)}, []float32{-float32(seed)}
		}, manners{heeded, ignored}, true},
		{"a tie that rounding decides", "", func(temp float64, seed int64) ([]int32, []float32) {
			return []int32{int32(seed)}, []float32{-1.01}
		}, manners{heeded, ""}, false},
		{"seeds without effect", "", func(temp float64, _ int64) ([]int32, []float32) {
			if temp == 0 {
				return []int32{1}, []float32{-1}
			}
			calls++
			return []int32{int32(calls)}, []float32{-3}
		}, manners{ignored, honoured}, false},
		{"no log-probs, and all alike", "", func(float64, int64) ([]int32, []float32) { return []int32{7, 8}, nil }, manners{heeded, ""}, false},
		{"text that does not tell its tokens", sampler.DialectOllama, func(float64, int64) ([]int32, []float32) { return nil, nil }, manners{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := behaves(t.Context(), "http://x", what{info: sampler.Info{Dialect: c.dialect}, trial: c.says, hello: []int32{0}})
			var cannot *sampler.CannotError
			if got != c.want || errors.As(err, &cannot) != c.refused || !c.refused && err != nil {
				t.Errorf("%+v, %v; want %+v, refused %t", got, err, c.want, c.refused)
			}
		})
	}
}
