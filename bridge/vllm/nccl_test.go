package vllm

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge/bridgetest"
)

// group is NCCL in memory: one worker.
type group struct {
	id         [128]byte
	joined     chan [128]byte
	broadcasts chan []byte
	closed     int
}

func (g *group) UniqueID() ([128]byte, error) { return g.id, nil }

func (g *group) Join(ctx context.Context, id [128]byte, world int) error {
	if world != 2 {
		return fmt.Errorf("a world of %d", world)
	}
	select {
	case g.joined <- id:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *group) Broadcast(ctx context.Context, b []byte) error {
	select {
	case g.broadcasts <- bytes.Clone(b):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *group) Close() error { g.closed++; return nil }

// receive is the worker's end: it believes only the id that came over HTTP.
func (g *group) receive(info map[string]any) (func() ([]byte, error), error) {
	id, err := base64.StdEncoding.DecodeString(fmt.Sprint(info["nccl_unique_id_b64"]))
	if joined := <-g.joined; err != nil || !bytes.Equal(joined[:], id) {
		return nil, fmt.Errorf("another group: %w", err)
	}
	return func() ([]byte, error) { return <-g.broadcasts, nil }, nil
}

func TestNCCLControlPlane(t *testing.T) {
	g := &group{joined: make(chan [128]byte), broadcasts: make(chan []byte)}
	copy(g.id[:], strings.Repeat("id?", 42))
	b := bridgetest.Newest
	b.Engine, b.Receive = ncclEngine, g.receive
	r := newRigOf(t, b, "")
	o := r.options(WayNCCL)
	o.NCCL = g
	p, err := New(r.endpoint(t), o)
	if err != nil {
		t.Fatal(err)
	}
	for v := range int64(2) {
		want := theta0.Moved(0.1 * float64(v+1))
		if err := p.Load(t.Context(), r.publish(t, v+1, want)); err != nil {
			t.Fatal(err)
		}
		if r.Paused() || r.Model().Theta != want.Theta || g.closed != int(v)+1 {
			t.Errorf("paused %t, serves %v, %d groups were left", r.Paused(), r.Model(), g.closed)
		}
	}
	old := newRigOf(t, bridgetest.Build{Version: "0.26.0", Engine: ncclEngine}, "")
	if p, err = New(old.endpoint(t), o); err != nil {
		t.Fatal(err)
	}
	if err := p.Load(t.Context(), old.publish(t, 1, theta0)); err == nil || !strings.Contains(err.Error(), "start vLLM 0.30 or later with --weight-transfer-config") {
		t.Errorf("before 0.30: %v", err)
	}
}

// A chunk ends with the tensor that makes it longer than the limit, as vLLM cuts it.
func TestPack(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		limit int64
		want  [][]int
	}{
		{nil, 4, nil},
		{[]int{1, 2, 3}, 100, [][]int{{1, 2, 3}}},
		{[]int{2, 2, 1, 2}, 4, [][]int{{2, 2, 1}, {2}}}, // exactly full is not over
		{[]int{9, 1, 9}, 4, [][]int{{9}, {1, 9}}},
		{[]int{5, 0}, 4, [][]int{{5}, {0}}},
	} {
		var got [][]int
		for _, chunk := range pack(tensors(c.sizes...), c.limit) {
			var sizes []int
			for _, t := range chunk {
				sizes = append(sizes, len(t.Data))
			}
			got = append(got, sizes)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v by %d (-want +got):\n%s", c.sizes, c.limit, diff)
		}
	}
}

func TestNCCLThatIsNotThere(t *testing.T) {
	if _, err := (&nccl{}).Init(t.Context(), 1); !errors.Is(err, errNoNCCL) {
		t.Error(err)
	}
}
