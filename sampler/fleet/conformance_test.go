package fleet_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/vllm"
)

// open makes a fleet of fake servers, admitted at version 1, that serve the same policy.
func open(t *testing.T, n int, o openaitest.Options) (*fleet.Fleet, []*openaitest.Server) {
	t.Helper()
	fakes := make([]*openaitest.Server, n)
	var members []fleet.Member
	for i := range fakes {
		fakes[i] = openaitest.New(t, o)
		e, err := endpoint.New(fakes[i].URL, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		g, err := vllm.New(e, vllm.Options{Model: "tiny", Vocab: 512, Retry: endpoint.Retry{Tries: 1}})
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, fleet.Member{Name: fakes[i].URL, Generator: g})
	}
	f, err := fleet.New(fleet.Options{Members: members, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		f.Admit(m.Name, 1)
	}
	return f, fakes
}

func TestConformance(t *testing.T) {
	samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
		f, fakes := open(t, 2, openaitest.Options{TokenTime: 10 * time.Microsecond})
		return samplertest.Subject{
			Generator: f,
			Running: func(context.Context) (n int, err error) {
				for _, s := range fakes {
					n += s.Running()
				}
				return n, nil
			},
			Prompt: []int32{1, 20, 21, 22}, Vocab: 512, MaxModelLen: 512, Reproducible: true, Raw: true,
		}
	})
}

func row(i int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: []int32{1, 20, int32(20 + i)}, Seed: int64(1000 * i), Count: 8, Version: 1,
		Params: sampler.Params{N: 8, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 60, Logprobs: true},
	}
}

// A server that dies amid its answers leaves no trace in what is returned.
func TestACrashOverHTTP(t *testing.T) {
	const rows = 9
	o := openaitest.Options{TokenTime: time.Millisecond}
	sample := func(f *fleet.Fleet, meanwhile func()) [][]sampler.Rollout {
		t.Helper()
		got := make([][]sampler.Rollout, rows)
		var g errgroup.Group
		for i := range rows {
			g.Go(func() (err error) {
				got[i], err = f.Generate(t.Context(), row(i))
				return err
			})
		}
		meanwhile()
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	quiet, _ := open(t, 1, o)
	want := sample(quiet, func() {})

	f, fakes := open(t, 3, o)
	got := sample(f, func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for fakes[1].Running() == 0 { // until it is at work
			<-tick.C
		}
		fakes[1].Close()
	})
	for i := range want {
		for j, w := range want[i] {
			if g := got[i][j]; g.Sample != j || !slices.Equal(g.TokenIDs, w.TokenIDs) || !slices.Equal(g.Logprobs, w.Logprobs) || g.Server == "" {
				t.Errorf("row %d sample %d of server %s: %d tokens, want the %d of an undisturbed one", i, g.Sample, g.Server, len(g.TokenIDs), len(w.TokenIDs))
			}
		}
	}
	if s := f.Stats()[1]; !s.Fenced || s.Fencings != 1 || s.Requeued == 0 {
		t.Errorf("%+v", s)
	}
}

// The faults of a server end in a fencing, or in a wait, and never in an answer.
func TestFaultsOverHTTP(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  openaitest.Fault
		fenced bool
	}{
		{"no answer", openaitest.Fault{Kind: openaitest.FaultClose}, true},
		{"a cut answer", openaitest.Fault{Kind: openaitest.FaultCut}, true},
		{"nonsense", openaitest.Fault{Kind: openaitest.FaultGarbage}, true},
		{"a choice left out", openaitest.Fault{Kind: openaitest.FaultDrop}, true},
		{"a proxy's 502", openaitest.Fault{Status: 502}, true},
		{"busy for a second", openaitest.Fault{Status: 429, RetryAfter: time.Second}, false},
		{"an error of the engine's", openaitest.Fault{Status: 500}, false},
		{"an aborted sample", openaitest.Fault{Kind: openaitest.FaultAbort}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, fakes := open(t, 2, openaitest.Options{})
			fakes[0].Inject(c.fault)
			for i := range 2 {
				got, err := f.Generate(t.Context(), row(i))
				if err != nil {
					t.Fatal(err)
				}
				for j, r := range got {
					if r.Sample != j || len(r.TokenIDs) == 0 {
						t.Errorf("place %d: %+v", j, r)
					}
				}
			}
			s := f.Stats()
			if s[0].Fenced != c.fenced || s[0].Requeued == 0 || s[1].Fenced {
				t.Errorf("%+v\n%+v", s[0], s[1])
			}
		})
	}
}
