package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// second is how long a token takes at a fake.
const second = time.Second

// fake is a member whose answers are a function of the streams' seeds: sample j
// has length(seed + j) tokens, each of them the stream's number.
type fake struct {
	name string
	// fault, when it returns one, is the answer to a request.
	fault func(ctx context.Context, r sampler.Request) error

	mu    sync.Mutex
	asked []sampler.Request
	when  []time.Time
	now   int // samples under way
	most  int
}

func length(stream int64) int { return 1 + int(stream*7919%13) }

func answer(r sampler.Request) []sampler.Rollout {
	out := make([]sampler.Rollout, r.Count)
	for i := range out {
		stream := r.Seed + int64(r.First+i)
		out[i] = sampler.Rollout{Sample: r.First + i, TokenIDs: slices.Repeat([]int32{int32(stream)}, length(stream)), FinishReason: sampler.FinishStop}
	}
	return out
}

func (f *fake) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	f.mu.Lock()
	f.asked = append(f.asked, r)
	f.when = append(f.when, time.Now())
	f.now += r.Count
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now -= r.Count
	}()
	if f.fault != nil {
		if err := f.fault(ctx, r); err != nil {
			return nil, err
		}
	}
	out := answer(r)
	longest := 0
	for _, ro := range out {
		longest = max(longest, len(ro.TokenIDs))
	}
	if err := sleep(ctx, time.Duration(longest)*second); err != nil {
		return nil, err
	}
	return out, nil
}

func (f *fake) requests() []sampler.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// asks is the number of requests that it had.
func (f *fake) asks() int { return len(f.requests()) }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("POST: %w", context.Cause(ctx))
	}
}

// The errors that endpoints give.
var (
	errGone = &endpoint.UnreachableError{Method: "POST", URL: "http://a/v1/completions", Hint: "start it", Err: syscall.ECONNREFUSED}
	errCut  = &endpoint.ReplyError{Method: "POST", URL: "http://a/v1/completions", Err: errors.New("unexpected EOF")}
)

func status(code int, retryAfter time.Duration) error {
	return fmt.Errorf("vllm: %w", &endpoint.StatusError{Method: "POST", URL: "http://a", Status: code, Message: "no", RetryAfter: retryAfter})
}

// fleetOf has fakes a, b, c … admitted at version 1.
func fleetOf(t *testing.T, n int, o Options) (*Fleet, []*fake) {
	t.Helper()
	fakes := make([]*fake, n)
	for i := range fakes {
		fakes[i] = &fake{name: string(rune('a' + i))}
		o.Members = append(o.Members, Member{Name: fakes[i].name, Generator: fakes[i]})
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fakes {
		f.Admit(m.name, 1)
	}
	return f, fakes
}

func request(row, n int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: []int32{int32(row)}, Seed: int64(1000 * row), Count: n, Version: 1,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 16},
	}
}

// check holds an answer to what every undisturbed server would have given.
func check(t *testing.T, r sampler.Request, got []sampler.Rollout) {
	t.Helper()
	want := answer(r)
	if len(got) != len(want) {
		t.Errorf("seed %d: %d rollouts, want %d", r.Seed, len(got), len(want))
		return
	}
	for i := range want {
		if got[i].Sample != want[i].Sample || !slices.Equal(got[i].TokenIDs, want[i].TokenIDs) {
			t.Errorf("seed %d: place %d has sample %d, tokens %v; want sample %d, %v", r.Seed, i, got[i].Sample, got[i].TokenIDs, want[i].Sample, want[i].TokenIDs)
		}
		if got[i].Server == "" {
			t.Errorf("seed %d sample %d: no server's name", r.Seed, i)
		}
	}
}

// all asks for rows of n samples at once, and checks them.
func all(t *testing.T, f *Fleet, rows, n int) {
	t.Helper()
	var g errgroup.Group
	for i := range rows {
		g.Go(func() error {
			r := request(i, n)
			got, err := f.Generate(t.Context(), r)
			if err == nil {
				check(t, r, got)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	idle(t, f)
}

// idle asserts that nothing is left behind.
func idle(t *testing.T, f *Fleet) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting != 0 || len(f.queues) != 0 {
		t.Errorf("%d samples in %d queues still wait", f.waiting, len(f.queues))
	}
	for _, m := range f.members {
		if m.running != 0 || len(m.pieces) != 0 {
			t.Errorf("%s has %d samples of %d requests under way", m.Name, m.running, len(m.pieces))
		}
	}
}

// fencings collects what OnFenced is told.
type fencings struct {
	mu   sync.Mutex
	told []string
}

func (f *fencings) add(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, name+": "+err.Error())
}

func (f *fencings) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told)
}
