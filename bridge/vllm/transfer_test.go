package vllm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge/bridgetest"
)

func transferRig(t *testing.T) *rig {
	t.Helper()
	b := bridgetest.Newest
	b.Engine = tcpEngine
	return newRigOf(t, b, WayTransfer)
}

func TestTransferAsksInThisOrder(t *testing.T) {
	r := transferRig(t)
	for v := range int64(2) {
		if err := r.publisher.Load(t.Context(), r.publish(t, v+1, theta0.Moved(0.1*float64(v+1)))); err != nil {
			t.Fatal(err)
		}
		asked := r.Requests()
		asked = asked[slices.Index(asked, "POST /pause?clear_cache=true&mode=wait"):]
		want := []string{
			"POST /pause?clear_cache=true&mode=wait", "GET /get_world_size",
			"POST /init_weight_transfer_engine", "POST /start_weight_update", "POST /update_weights", "POST /finish_weight_update",
			"POST /update_weight_version", "POST /reset_prefix_cache", "POST /resume", "GET /weight_info",
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("load %d (-want +got):\n%s", v, diff)
		}
	}
	if tag, err := r.publisher.shownTag(t.Context()); err != nil || tag != "run-2" || r.Model().Theta != theta0.Moved(0.2).Theta {
		t.Errorf("tag %q, %v; serves %v", tag, err, r.Model())
	}
}

func TestTransferToSeveralWorkers(t *testing.T) {
	r := newRigOf(t, bridgetest.Build{Version: "0.32.0", Engine: tcpEngine, Workers: 4}, "")
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("%v; serves %v", err, r.Model())
	}
}

// A transfer that dies half-way is begun anew; what cannot be is not resumed.
func TestTransferThatFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults bridgetest.Faults
		serves float64 // moved by so much in the end, after a good load of 0.1
		want   string  // of the error; "" for none
		paused bool
	}{
		{"once, in the receiver", bridgetest.Faults{FailReloads: 1}, 0.2, "", false},
		{"once, cut half-way", bridgetest.Faults{CutTransfers: 1}, 0.2, "", false},
		{"one that somebody left open", bridgetest.Faults{OpenTransfer: true}, 0.2, "", false},
		{"the call is cut, and its answer lost", bridgetest.Faults{CutReloads: 1}, 0.1, "it has been put on version 1 and resumed", false},
		{"twice", bridgetest.Faults{FailReloads: 2}, 0.1, "it has been put on version 1 and resumed", false},
		{"twice, cut half-way", bridgetest.Faults{CutTransfers: 2}, 0.1, "it has been put on version 1 and resumed", false},
		{"for good", bridgetest.Faults{FailReloads: 9}, 0.1, "it is left paused, as its weights may be broken: restart it", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := transferRig(t)
			if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
				t.Fatal(err)
			}
			r.Set(c.faults)
			err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if r.Paused() != c.paused || r.Model().Theta != theta0.Moved(c.serves).Theta {
				t.Errorf("paused %t, serves %v", r.Paused(), r.Model())
			}
			r.Set(bridgetest.Faults{})
			if err := r.publisher.Load(t.Context(), r.publish(t, 3, theta0.Moved(0.3))); err != nil || r.Paused() || r.Model().Theta != theta0.Moved(0.3).Theta {
				t.Errorf("the next load: %v; paused %t, serves %v", err, r.Paused(), r.Model())
			}
		})
	}
}

func TestTransferCancelledInTheMiddle(t *testing.T) {
	r := transferRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
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
	if err := g.Wait(); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "put on version 1 and resumed") {
		t.Errorf("error: %v", err)
	}
	if r.Paused() || r.Model().Theta != theta0.Moved(0.1).Theta {
		t.Errorf("paused %t, serves %v", r.Paused(), r.Model())
	}
}

// A type that torch has no word for is refused before the server is told anything.
func TestTransferOfAnUnknownType(t *testing.T) {
	r := transferRig(t)
	want := slices.Clone(bridgetest.Tensors())
	want[1].DType = "F8_E8M0"
	m := theta0
	m.Tensors = want
	r.publisher.o.Want = want
	err := r.publisher.Load(t.Context(), r.publish(t, 1, m))
	if err == nil || !strings.Contains(err.Error(), "tensor norm is F8_E8M0, which cannot be sent") {
		t.Errorf("error %v", err)
	}
	if asked := r.Requests(); slices.Contains(asked, "POST /start_weight_update") {
		t.Errorf("asked %v", asked)
	}
}
