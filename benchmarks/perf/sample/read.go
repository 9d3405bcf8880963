package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"syscall"
	"time"

	goccy "github.com/goccy/go-json"

	"github.com/justrl/justrl/benchmarks/perf/measure"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/vllm"
)

// reading is the contest of readers.
type reading struct {
	Bytes    int            `json:"bytes"`
	PerToken float64        `json:"bytes_per_token"`
	Ours     measure.Spread `json:"ours_mb_per_cpu_s"`
	Std      measure.Spread `json:"encoding_json_mb_per_cpu_s"`
	Goccy    measure.Spread `json:"goccy_mb_per_cpu_s"`
	OfStd    measure.Spread `json:"ours_is_times_encoding_json"`
	OfGoccy  measure.Spread `json:"ours_is_times_goccy"`
}

// fields are those of a reply that our client reads.
type fields struct {
	ID      string `json:"id"`
	Choices []struct {
		Index    *int   `json:"index"`
		Text     string `json:"text"`
		Logprobs *struct {
			TokenLogprobs []float32 `json:"token_logprobs"`
		} `json:"logprobs"`
		FinishReason   string  `json:"finish_reason"`
		TokenIDs       []int32 `json:"token_ids"`
		PromptTokenIDs []int32 `json:"prompt_token_ids"`
	} `json:"choices"`
}

// memory answers every request with the same body, without a network.
type memory struct{ body []byte }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewReader(m.body)), ContentLength: int64(len(m.body)),
	}, nil
}

func (o options) read(ctx context.Context, stderr io.Writer) (*reading, error) {
	body := answer(o.n, o.tokens, 1)
	e, err := endpoint.New("http://memory", endpoint.Options{Transport: memory{body}})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	g, err := vllm.New(e, vllm.Options{Model: "tiny", Vocab: vocab})
	if err != nil {
		return nil, err
	}
	// All begin with a reply's body as it comes, the others as clients without a
	// reader of their own do; ours is the whole client, its checks included.
	whole := func(unmarshal func([]byte, any) error) error {
		b, err := io.ReadAll(bytes.NewReader(body))
		if err != nil {
			return err
		}
		return unmarshal(b, new(fields))
	}
	contenders := []func() error{
		func() error {
			_, err := g.Generate(ctx, request(o.n, o.tokens))
			return err
		},
		func() error { return whole(json.Unmarshal) },
		func() error { return whole(func(b []byte, to any) error { return goccy.Unmarshal(b, to) }) },
	}
	rates := make([][]float64, len(contenders))
	var ofStd, ofGoccy []float64
	for pair := range o.pairs + 1 {
		var took [3]float64
		for i := range contenders {
			if pair%2 == 1 {
				i = len(contenders) - 1 - i
			}
			runtime.GC()
			before := processorTime()
			if err := contenders[i](); err != nil {
				return nil, err
			}
			took[i] = (processorTime() - before).Seconds()
		}
		if pair == 0 {
			continue // it warms up
		}
		for i, s := range took {
			rates[i] = append(rates[i], float64(len(body))/1e6/s)
		}
		ofStd, ofGoccy = append(ofStd, took[1]/took[0]), append(ofGoccy, took[2]/took[0])
		fmt.Fprintf(stderr, "read, pair %d: ours is %.1f × encoding/json, %.1f × goccy/go-json\n", pair, took[1]/took[0], took[2]/took[0])
	}
	return &reading{
		Bytes: len(body), PerToken: float64(len(body)) / float64(o.n*o.tokens),
		Ours: measure.SpreadOf(rates[0]), Std: measure.SpreadOf(rates[1]), Goccy: measure.SpreadOf(rates[2]),
		OfStd: measure.SpreadOf(ofStd), OfGoccy: measure.SpreadOf(ofGoccy),
	}, nil
}

// processorTime is this process's, of all its threads.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
