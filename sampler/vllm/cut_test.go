package vllm_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

// cutter hands streams on, the first one only so many bytes of it: then it
// breaks the connection, or ends the reply as if that were all.
type cutter struct {
	to    string
	after int
	clean bool

	mu     sync.Mutex
	served int
	whole  int // bytes of a first stream that was not cut
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, c.to+r.URL.Path, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.mu.Lock()
	c.served++
	first := c.served == 1
	c.whole = max(c.whole, len(b))
	c.mu.Unlock()
	w.WriteHeader(resp.StatusCode)
	if !first || c.after >= len(b) {
		_, _ = w.Write(b)
		return
	}
	_, _ = w.Write(b[:c.after])
	_ = http.NewResponseController(w).Flush()
	if !c.clean {
		panic(http.ErrAbortHandler)
	}
}

// A stream may be cut between any two bytes. Whatever had come, the answers are
// whole: each token once, with the log-prob that the policy gives it there, the
// text that of the tokens, and the finish reason that of how it ends.
func TestStreamsCutAnywhere(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	var front atomic.Pointer[cutter]
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { front.Load().ServeHTTP(w, r) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	_, _, score := open(t, fake.URL, vllm.Options{Vocab: 512})
	const samples, most = 3, 6
	r := request(samples, most)
	for name, stream := range map[string]*vllm.Stream{"gone on with": {Decode: decode}, "asked again": {}} {
		_, g, _ := open(t, url, vllm.Options{Vocab: 512, Stream: stream, Retry: endpoint.Retry{First: time.Nanosecond}})
		uncut := &cutter{to: fake.URL, after: 1 << 30}
		front.Store(uncut)
		undisturbed, err := g.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		uncut.mu.Lock()
		whole := uncut.whole
		uncut.mu.Unlock()
		for _, clean := range []bool{false, true} {
			for after := 0; after < whole; after += stride {
				front.Store(&cutter{to: fake.URL, after: after, clean: clean})
				got, err := g.Generate(t.Context(), r)
				if err != nil {
					t.Fatalf("%s, cut after %d of %d bytes: %v", name, after, whole, err)
				}
				if stream.Decode == nil {
					if d := cmp.Diff(undisturbed, got); d != "" {
						t.Fatalf("%s, cut after %d bytes (-undisturbed +got)\n%s", name, after, d)
					}
					continue
				}
				for j, ro := range got {
					seq := slices.Concat(r.PromptTokenIDs, ro.TokenIDs)
					want, err := score.Score(t.Context(), [][]int32{seq})
					if err != nil {
						t.Fatal(err)
					}
					ended := sampler.FinishLength
					if slices.Contains(ro.TokenIDs, 2) {
						ended = sampler.FinishStop
					}
					if end := slices.Index(ro.TokenIDs, 2); end >= 0 && end != len(ro.TokenIDs)-1 || ended == sampler.FinishLength && len(ro.TokenIDs) != most {
						t.Errorf("cut after %d bytes: sample %d goes on after its end, or ends before: %v", after, j, ro.TokenIDs)
					}
					if ro.Sample != j || ro.Text != decode(ro.TokenIDs) || ro.FinishReason != ended || !slices.Equal(want[0][len(r.PromptTokenIDs)-1:], ro.Logprobs) {
						t.Errorf("cut after %d bytes: sample %d is %+v, its log-probs %v", after, j, ro, want[0])
					}
				}
				if t.Failed() {
					return
				}
			}
		}
	}
}

// stride is a prime beside the 357 bytes of an event.
const stride = 101
