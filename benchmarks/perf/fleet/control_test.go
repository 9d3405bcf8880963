package fleet

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/vllm"
)

const (
	dataStreams = 64
	perSecond   = 10_000 // tokens a second of the loaded server: 156 a stream, as a GPU has for a model of 1.5B
	controlBar  = 5.0    // p99 under load over p99 of an idle server
)

// dataServer answers completions with DefaultLengths' answers as vLLM writes
// them, each after the time that its tokens take, and /health at once.
type dataServer struct {
	*httptest.Server
	answers atomic.Int64
	tokens  atomic.Int64
}

func newDataServer(t *testing.T) *dataServer {
	s := &dataServer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		i := s.answers.Add(1)
		n := DefaultLengths.Tokens(i, 0)
		s.tokens.Add(int64(n))
		select {
		case <-time.After(time.Duration(n) * dataStreams * time.Second / perSecond):
			_, _ = w.Write(completion(n))
		case <-r.Context().Done():
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// The parts of the longest answer: of a shorter one each has a beginning. A
// server's work must be next to none, its processor is the client's.
var (
	text     = bytes.Repeat([]byte(" so"), maxTokens)
	logprobs = bytes.Repeat([]byte("-0.34873297810554504,"), maxTokens)
	ids      = bytes.Repeat([]byte("151643,"), maxTokens)
)

func completion(n int) []byte {
	part := func(of []byte) []byte { return bytes.TrimSuffix(of[:len(of)/maxTokens*n], []byte(",")) }
	return bytes.Join([][]byte{
		[]byte(`{"id":"cmpl-1","choices":[{"index":0,"text":"`), part(text), []byte(`","logprobs":{"token_logprobs":[`), part(logprobs),
		[]byte(`]},"finish_reason":"stop","token_ids":[`), part(ids), []byte(`],"prompt_token_ids":[1]}]}`),
	}, nil)
}

// load keeps every data stream at work until stop is called.
func load(t *testing.T, data *endpoint.Endpoint) (stop func()) {
	t.Helper()
	g, err := vllm.New(data, vllm.Options{Model: "m", Retry: endpoint.Retry{Tries: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var streams errgroup.Group
	for i := range dataStreams {
		streams.Go(func() error {
			for ctx.Err() == nil {
				_, err := g.Generate(ctx, sampler.Request{
					PromptTokenIDs: []int32{1}, Seed: int64(i), Count: 1,
					Params: sampler.Params{N: 1, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
				})
				if err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := streams.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// calls times n calls of /health, one every few milliseconds.
func calls(t *testing.T, e *endpoint.Endpoint, n int) []time.Duration {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	out := make([]time.Duration, n)
	for i := range out {
		<-tick.C
		begun := time.Now()
		if err := e.Do(t.Context(), http.MethodGet, "/health", nil, nil); err != nil {
			t.Fatal(err)
		}
		out[i] = time.Since(begun)
	}
	return out
}

func quantile(d []time.Duration, q float64) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// A pool of as many connections as there are data streams is the worst case:
// over it a control call waits for an answer's end.
func TestControlCalls(t *testing.T) {
	rounds, n := 1, 20
	if *full {
		rounds, n = 30, 100 // short ones, so that what else the machine does hits both alike
	}
	s := newDataServer(t)
	data, err := endpoint.New(s.URL, endpoint.Options{MaxConns: dataStreams})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	control := data.Apart()
	defer control.Close()
	var idle, loaded, shared []time.Duration
	for range rounds {
		idle = append(idle, calls(t, control, n)...)
		stop := load(t, data)
		calls(t, control, n/10) // until the streams are at work
		loaded = append(loaded, calls(t, control, n)...)
		if *full {
			shared = append(shared, calls(t, data, 1)...)
		}
		stop()
	}
	ratio := quantile(loaded, 0.99).Seconds() / quantile(idle, 0.99).Seconds()
	t.Logf("a control call's p99 is %.2f of its idle p99 (%s, %s; medians %s, %s) beside %d data streams: %d answers begun, %d tokens",
		ratio, quantile(loaded, 0.99), quantile(idle, 0.99), quantile(loaded, 0.5), quantile(idle, 0.5),
		dataStreams, s.answers.Load(), s.tokens.Load())
	if !*full {
		return // on a busy machine a p99 of 20 calls is no figure
	}
	t.Logf("over the data's own connections its median is %s", quantile(shared, 0.5))
	if ratio > controlBar {
		t.Errorf("a control call's p99 under load is %.2f of its idle p99, over %g", ratio, controlBar)
	}
}
