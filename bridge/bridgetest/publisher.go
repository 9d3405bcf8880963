package bridgetest

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
)

// Harness is a deployment to test a Publisher on.
type Harness struct {
	Publisher bridge.Publisher
	Server    bridge.Scorer // the server's own log-probs
	// Publish makes a complete snapshot of one of two sets of weights of the
	// served model, which a and b pick.
	Publish func(t *testing.T, version int64, which string) bridge.Snapshot
	Probes  [][]int32
	// Paused asks the server whether it is paused.
	Paused func() (bool, error)
}

// Publisher is what every bridge.Publisher must do. open is called once a
// subtest; the server behind it may be the same one.
func Publisher(t *testing.T, open func(*testing.T) Harness) {
	t.Run("serves what it loaded", func(t *testing.T) {
		h := open(t)
		a := h.load(t, h.Publish(t, 1, "a"))
		b := h.load(t, h.Publish(t, 2, "b"))
		if equal(a, b) {
			t.Error("other weights give the same log-probs")
		}
		if again := h.load(t, h.Publish(t, 3, "a")); !equal(a, again) {
			t.Error("the first weights, loaded again, give other log-probs")
		}
		if again := h.load(t, h.Publish(t, 4, "a")); !equal(a, again) {
			t.Error("loading equal weights changed the log-probs")
		}
	})
	t.Run("leaves no prefix cache of older weights", func(t *testing.T) {
		h := open(t)
		p, ok := h.Publisher.(bridge.CacheProber)
		if !ok {
			t.Skip("SKIPPED: not a CacheProber")
		}
		for i, which := range []string{"a", "b", "a"} {
			h.load(t, h.Publish(t, int64(i+1), which))
			for j, probe := range h.Probes {
				prompt := probe[:len(probe)-1]
				cold, first := h.next(t, p, prompt)
				warm, second := h.next(t, p, prompt)
				fresh, err := h.Server.Score(t.Context(), [][]int32{append(slices.Clone(prompt), cold)})
				if err != nil {
					t.Fatal(err)
				}
				want := fresh[0][len(fresh[0])-1]
				if warm != cold || abs(first-want) > 1e-4 || abs(second-want) > 1e-4 {
					t.Errorf("load %d, probe %d: tokens %d, %d with log-probs %v, %v; afresh %v", i, j, cold, warm, first, second, want)
				}
			}
		}
	})
	t.Run("changes its checksums with the weights", func(t *testing.T) {
		h := open(t)
		c, ok := h.Publisher.(bridge.Checksummer)
		if !ok {
			t.Skip("SKIPPED: not a Checksummer")
		}
		var sums [3]map[string]string
		for i, which := range []string{"a", "b", "a"} {
			h.load(t, h.Publish(t, int64(i+1), which))
			var err error
			if sums[i], _, err = c.Checksums(t.Context()); err != nil {
				t.Fatal(err)
			}
			if sums[i] == nil {
				t.Skip("SKIPPED: the server has no checksums")
			}
		}
		changed := 0
		for name, sum := range sums[0] {
			if sums[2][name] != sum {
				t.Errorf("%s: equal weights, other checksums", name)
			}
			if sums[1][name] != sum {
				changed++
			}
		}
		if changed == 0 {
			t.Error("other weights have equal checksums")
		}
	})
	t.Run("refuses what is not whole and changes nothing", func(t *testing.T) {
		h := open(t)
		want := h.load(t, h.Publish(t, 1, "a"))
		s := h.Publish(t, 2, "b")
		if err := os.Remove(s.Dir + "/" + atomicdir.MarkerName); err != nil {
			t.Fatal(err)
		}
		if err := h.Publisher.Load(t.Context(), s); !errors.Is(err, atomicdir.ErrIncomplete) {
			t.Errorf("without a marker: %v", err)
		}
		other := h.Publish(t, 3, "b")
		other.Version = 4
		if err := h.Publisher.Load(t.Context(), other); err == nil {
			t.Error("loaded a folder of another version")
		}
		h.resumed(t)
		if got := h.score(t); !equal(want, got) {
			t.Error("a refused snapshot changed the log-probs")
		}
	})
	t.Run("a cancelled load leaves a whole model", func(t *testing.T) {
		h := open(t)
		want := h.load(t, h.Publish(t, 1, "a"))
		s := h.Publish(t, 2, "b")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Publisher.Load(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		h.resumed(t)
		if got := h.score(t); !equal(want, got) {
			t.Error("a load that was cancelled before it began changed the log-probs")
		}
		if got := h.load(t, s); equal(want, got) {
			t.Error("the load after a cancelled one changed nothing")
		}
	})
}

func (h Harness) load(t *testing.T, s bridge.Snapshot) [][]float32 {
	t.Helper()
	if err := h.Publisher.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	h.resumed(t)
	return h.score(t)
}

func (h Harness) resumed(t *testing.T) {
	t.Helper()
	if paused, err := h.Paused(); err != nil || paused {
		t.Fatalf("paused: %v, %v", paused, err)
	}
}

func (h Harness) score(t *testing.T) [][]float32 {
	t.Helper()
	s, err := h.Server.Score(t.Context(), h.Probes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h Harness) next(t *testing.T, p bridge.CacheProber, prompt []int32) (int32, float32) {
	t.Helper()
	token, lp, err := p.Next(t.Context(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	return token, lp
}

func equal(a, b [][]float32) bool { return slices.EqualFunc(a, b, slices.Equal[[]float32]) }

func abs(x float32) float32 { return max(x, -x) }
