package vllm

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/atomicdir"
)

func TestLoadAsksInThisOrder(t *testing.T) {
	r := newRig(t)
	load := []string{
		"POST /pause?clear_cache=true&mode=wait", "POST /collective_rpc", "POST /update_weight_version",
		"POST /reset_prefix_cache", "POST /resume", "GET /weight_info",
	}
	probe := []string{"GET /version", "GET /openapi.json", "POST /init_weight_transfer_engine"}
	for i, want := range [][]string{append(probe, load...), append([]string{"GET /weight_info"}, load...)} {
		if err := r.publisher.Load(t.Context(), r.publish(t, int64(i+1), theta0.Moved(0.1))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.Requests()); diff != "" {
			t.Errorf("load %d (-want +got):\n%s", i, diff)
		}
	}
	if r.Paused() || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
	}
}

func TestLoadOnAServerWithoutVersions(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{Old: true})
	for v := range int64(2) {
		if err := r.publisher.Load(t.Context(), r.publish(t, v, theta0.Moved(0.1*float64(v+1)))); err != nil {
			t.Fatal(err)
		}
	}
	if sums, _, err := r.publisher.Checksums(t.Context()); sums != nil || err != nil {
		t.Errorf("checksums of a server without: %v, %v", sums, err)
	}
	if r.Model().Theta != theta0.Moved(0.2).Theta {
		t.Error("the last snapshot was not loaded")
	}
}

// What is wrong with a snapshot must come out before the server is touched.
func TestLoadRefusesBeforeAsking(t *testing.T) {
	tensors := func(change func([]bridge.Tensor) []bridge.Tensor) bridgetest.Model {
		m := theta0
		m.Tensors = change(bridgetest.Tensors())
		return m
	}
	tests := map[string]struct {
		model bridgetest.Model
		spoil func(t *testing.T, s *bridge.Snapshot)
		want  string
		is    error
	}{
		"a missing tensor": {tensors(func(ts []bridge.Tensor) []bridge.Tensor { return ts[:1] }), nil, "norm is missing", bridge.ErrTensors},
		"an extra tensor": {tensors(func(ts []bridge.Tensor) []bridge.Tensor { return append(ts, bridge.Tensor{Name: "lm_head"}) }), nil,
			"lm_head is not in the model", bridge.ErrTensors},
		"a wrong shape": {tensors(func(ts []bridge.Tensor) []bridge.Tensor { ts[1].Shape = []int64{8}; return ts }), nil,
			"norm has shape [8], want [4]", bridge.ErrTensors},
		"a wrong dtype": {tensors(func(ts []bridge.Tensor) []bridge.Tensor { ts[0].DType = "BF16"; return ts }), nil,
			"embed is BF16, want F32", bridge.ErrTensors},
		"half-written": {theta0, func(t *testing.T, s *bridge.Snapshot) {
			if err := os.Remove(s.Dir + "/" + atomicdir.MarkerName); err != nil {
				t.Fatal(err)
			}
		}, "", atomicdir.ErrIncomplete},
		"cut short": {theta0, func(t *testing.T, s *bridge.Snapshot) {
			if err := os.Truncate(s.Dir+"/model.safetensors", 5); err != nil {
				t.Fatal(err)
			}
		}, "model.safetensors", nil},
		"another version": {theta0, func(_ *testing.T, s *bridge.Snapshot) { s.Version = 9 }, "holds version 1", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.publish(t, 1, tc.model)
			if tc.spoil != nil {
				tc.spoil(t, &s)
			}
			err := r.publisher.Load(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error is %v, want %q (%v)", err, tc.want, tc.is)
			}
			if asked := r.Requests(); len(asked) > 0 {
				t.Errorf("the server was asked %v", asked)
			}
		})
	}
}

func TestLoadTriesABadReloadAgainAtOnce(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{FailReloads: 1})
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	if r.Paused() || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
	}
}

func TestLoadGoesBackWhenItCannotGoOn(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	r.Set(bridgetest.Faults{FailReloads: 2})
	err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
	if err == nil || !strings.Contains(err.Error(), "it has been put on version 1 and resumed") || !strings.Contains(err.Error(), r.URL) {
		t.Errorf("error: %v", err)
	}
	if r.Paused() || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("paused %v, serves %v", r.Paused(), r.Model())
	}
	if _, err := r.scorer().Score(t.Context(), bridgetest.Probes()); err != nil {
		t.Error(err)
	}
}

// Sampling from a broken model would end the server: better that requests wait.
func TestLoadLeavesABrokenModelPaused(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{FailReloads: 5})
	err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1)))
	if err == nil || !strings.Contains(err.Error(), "left paused, as its weights may be broken: restart it") {
		t.Errorf("error: %v", err)
	}
	if !r.Paused() {
		t.Error("resumed with broken weights")
	}
	r.Set(bridgetest.Faults{})
	if err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2))); err != nil || r.Paused() {
		t.Errorf("a good load afterwards: %v, paused %v", err, r.Paused())
	}
}

func TestLoadResumesWhateverFails(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{CacheBusy: true})
	err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1)))
	if err == nil || !strings.Contains(err.Error(), "prefix cache was not emptied") {
		t.Errorf("error: %v", err)
	}
	if r.Paused() {
		t.Error("left paused")
	}
	r.Set(bridgetest.Faults{FailResumes: 1}) // asked again
	if err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.1))); err != nil || r.Paused() {
		t.Errorf("a resume that fails once: %v, paused %v", err, r.Paused())
	}
}

func TestLoadCancelledInTheMiddle(t *testing.T) {
	for _, before := range []bool{false, true} { // whether there is a snapshot to go back to
		r := newRig(t)
		want := theta0.Moved(0.2)
		if before {
			want = theta0.Moved(0.1)
			if err := r.publisher.Load(t.Context(), r.publish(t, 1, want)); err != nil {
				t.Fatal(err)
			}
		}
		s := r.publish(t, 2, theta0.Moved(0.2))
		begun := make(chan struct{})
		r.Set(bridgetest.Faults{HangReloadAt: begun})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var g errgroup.Group
		g.Go(func() error { return r.publisher.Load(ctx, s) })
		<-begun
		r.Set(bridgetest.Faults{})
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "and resumed") {
			t.Errorf("error: %v", err)
		}
		if r.Paused() || r.Model().Theta != want.Theta {
			t.Errorf("snapshot to go back to %v: paused %v, serves %v", before, r.Paused(), r.Model())
		}
	}
}

func TestLoadSaysHowToStartTheServer(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{NoDevMode: true})
	err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0))
	if !errors.Is(err, bridge.ErrUnsupported) || !strings.Contains(err.Error(), "VLLM_SERVER_DEV_MODE=1") || !strings.Contains(err.Error(), r.URL) {
		t.Errorf("error: %v", err)
	}
	if asked := r.Requests(); slices.Contains(asked, "POST /collective_rpc") {
		t.Errorf("asked %v", asked)
	}
}

func TestLoadNoticesARestart(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0)); err != nil {
		t.Fatal(err)
	}
	r.Restart(theta0)
	err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.1)))
	var canary *bridge.CanaryError
	if !errors.As(err, &canary) || canary.Part != bridge.PartIdle || !strings.Contains(err.Error(), `it shows weights "default" where "run-1" was loaded`) {
		t.Errorf("error: %v", err)
	}
	if r.Paused() {
		t.Error("paused")
	}
	// It tells once: a bridge that starts again must be able to put it right.
	if err := r.publisher.Load(t.Context(), r.publish(t, 3, theta0.Moved(0.1))); err != nil || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("the next load: %v, serves %v", err, r.Model())
	}
}

func TestNewNeedsAll(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no error")
	}
}
