package sglang

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

func TestLoadAsks(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	want := []string{"POST /pause_generation", "POST /update_weights_from_disk", "POST /flush_cache", "POST /continue_generation", "GET /get_model_info"}
	if diff := cmp.Diff(want, r.asked()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, tag := r.state(); tag != Tag("run", 1) {
		t.Errorf("tag %q", tag)
	}
}

// What goes wrong in a load, after version 1 was loaded or before anything was.
func TestLoadFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  bool // nothing was loaded before
		faults faults
		want   string  // in the error; "" if it passes
		serves float64 // how far theta is from theta0 then; NaN-free: -1 is not looked at
		paused bool
		is     error
	}{
		{name: "500 in the middle, once: tried at once again", faults: faults{fail: []string{"500"}}, serves: 0.2},
		{name: "refused once", faults: faults{fail: []string{"Failed to update weights: x.\nRolling back to original weights."}}, serves: 0.2},
		{name: "twice: the one before is put back", faults: faults{fail: []string{"500", "500"}},
			want: "it has been put on version 1 and resumed", serves: 0.1},
		{name: "three times: fenced", faults: faults{fail: []string{"500", "500", "500"}}, want: "left paused, as its weights may be broken: restart it", serves: 0.1, paused: true},
		{name: "twice, nothing before: fenced", first: true, faults: faults{fail: []string{"500", "500"}}, want: "left paused, as its weights may be broken: restart it", paused: true},
		{name: "three times, without a pause", faults: faults{noPause: true, fail: []string{"500", "500", "500"}}, want: "its weights may be broken and it cannot be paused", serves: 0.1},
		{name: "the answer is lost", faults: faults{fail: []string{"cut"}}, want: "it has been put on version 1 and resumed", serves: 0.1},
		{name: "200 without success", faults: faults{fail: []string{"lie"}}, want: `it does not say that it loaded the weights: "no"; it has been put on version 1`, serves: 0.1},
		{name: "the server does not see the folder", faults: faults{fail: []string{"Failed to get model config: Can't load the configuration of '/x'", "Failed to get model config: Can't load the configuration of '/x'"}},
			want: "put publish.dir on a path that it reads too", serves: 0.1},
		{name: "a gateway", faults: faults{noUpdate: true}, want: "has no /update_weights_from_disk", serves: 0.1, is: bridge.ErrUnsupported},
		{name: "the cache stays", faults: faults{cacheBusy: true}, want: "the prefix cache was not emptied, as requests are running", serves: 0.2},
		{name: "it cannot go on", faults: faults{failResumes: 9}, want: "cannot continue", serves: 0.2, paused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if !c.first {
				if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
					t.Fatal(err)
				}
			}
			r.set(c.faults)
			err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			theta, paused, _ := r.state()
			if theta != theta0.Moved(c.serves).Theta || paused != c.paused {
				t.Errorf("serves %v, paused %v; want theta0 + %v, %v", theta, paused, c.serves, c.paused)
			}
			r.set(faults{})
			if err := r.publisher.Load(t.Context(), r.publish(t, 3, theta0.Moved(0.3))); err != nil {
				t.Errorf("the load after it: %v", err)
			}
		})
	}
}

func TestLoadThatIsGivenUp(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	r.set(faults{hangAt: begun})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	s := r.publish(t, 2, theta0.Moved(0.2))
	go func() { failed <- r.publisher.Load(ctx, s) }()
	<-begun
	r.set(faults{})
	cancel()
	err := <-failed
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "it has been put on version 1 and resumed") {
		t.Errorf("error %v", err)
	}
	if theta, paused, _ := r.state(); paused || theta != theta0.Moved(0.1).Theta {
		t.Errorf("paused %v, serves %v", paused, theta)
	}
}

// Somebody else's load, or a restart, is told of once.
func TestStillLive(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.StillLive(t.Context()); err != nil {
		t.Errorf("before a load: %v", err)
	}
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0)); err != nil {
		t.Fatal(err)
	}
	if err := r.publisher.StillLive(t.Context()); err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	r.tag = "default"
	r.mu.Unlock()
	var canary *bridge.CanaryError
	if err := r.publisher.StillLive(t.Context()); !errors.As(err, &canary) || !strings.Contains(err.Error(), `it shows weights "default" where "run-1" was loaded`) {
		t.Errorf("after a restart: %v", err)
	}
	if err := r.publisher.StillLive(t.Context()); err != nil {
		t.Errorf("told twice: %v", err)
	}
}

// The canary's business: a server that lies.
func TestCanarySeesLies(t *testing.T) {
	for name, f := range map[string]faults{"keeps old weights": {keepWeights: true}, "keeps a stale cache": {keepCache: true}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			probe := bridgetest.Probes()[1]
			_, before, err := r.publisher.Next(t.Context(), probe)
			if err != nil {
				t.Fatal(err)
			}
			own, err := r.Score(t.Context(), [][]int32{probe})
			if err != nil {
				t.Fatal(err)
			}
			r.set(f)
			if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.4))); err != nil {
				t.Fatal(err)
			}
			_, after, err := r.publisher.Next(t.Context(), probe)
			if err != nil {
				t.Fatal(err)
			}
			own2, err := r.Score(t.Context(), [][]int32{probe})
			if err != nil {
				t.Fatal(err)
			}
			stale := after == before
			if same := cmp.Equal(own, own2); f.keepWeights != same || !stale {
				t.Errorf("scores the same: %v; the cached answer the same: %v", same, stale)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	r := newRig(t)
	if _, err := New(r.e, Options{Run: "run"}); err == nil {
		t.Error("made without the tensors that are wanted")
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("made without an endpoint")
	}
}
