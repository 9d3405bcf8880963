package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

func TestSpeeds(t *testing.T) {
	of := func(n int, perToken time.Duration) (p pace) {
		for range n {
			p.observe(100, 100*perToken)
		}
		return p
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		paces []pace
		want  []float64
	}{
		{"nothing is known", []pace{{}, {}}, []float64{1, 1}},
		{"alike but for chance", []pace{of(9, 10*ms), of(9, 11*ms), of(9, 9*ms)}, []float64{1, 1, 1}},
		{"half as fast", []pace{of(9, 10*ms), of(9, 20*ms), of(9, 10*ms)}, []float64{1, 0.5, 1}},
		{"of one too little is known", []pace{of(2, 90*ms), of(9, 10*ms), of(9, 10*ms)}, []float64{1, 1, 1}},
		{"hardly any speed is left some work", []pace{of(9, 10*ms), of(9, time.Minute), of(9, 10*ms)}, []float64{1, 0.25, 1}},
		{"those that wait in a queue do not count", []pace{append(of(9, 25*ms), 0.01), of(9, 10*ms), of(9, 10*ms)}, []float64{1, 1, 1}},
		{"the last requests count", []pace{func() pace {
			p := of(100, ms)
			for range paceMemory {
				p.observe(100, 100*10*ms)
			}
			return p
		}(), of(9, 10*ms)}, []float64{1, 1}},
		{"answers without a token tell nothing", []pace{func() (p pace) {
			for range 9 {
				p.observe(0, ms)
			}
			return p
		}(), of(9, 10*ms)}, []float64{1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := fleetOf(t, len(c.paces), Options{})
			for i, p := range c.paces {
				f.members[i].pace = p
			}
			f.compare()
			var got []float64
			for _, m := range f.members {
				got = append(got, m.speed)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Whoever was slow is forgiven after some loads in which it gave nothing.
func TestPaceFadesWithTheWeights(t *testing.T) {
	f, _ := fleetOf(t, 2, Options{})
	for _, m := range f.members {
		for range paceMemory {
			m.pace.observe(1, time.Second)
		}
	}
	f.members[0].pace = pace{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}
	f.compare()
	if s := f.members[0].speed; s != 1 || f.members[1].speed != 2 {
		t.Fatalf("speeds %v and %v, want 1 and 2", s, f.members[1].speed)
	}
	loads := int64(0)
	for f.members[1].speed != 1 {
		if loads++; loads > 20 {
			t.Fatal("it is never forgiven")
		}
		f.Admit("a", 1+loads)
		f.Admit("b", 1+loads)
	}
	if loads < 3 {
		t.Errorf("it is forgiven after %d loads", loads)
	}
}

// With room for all, the fast server has the longest rows and more of them.
func TestTheLongestGoToTheFastest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 2, Options{})
		for range paceMemory {
			f.members[0].pace.observe(100, 200*time.Second)
			f.members[1].pace.observe(100, 100*time.Second)
		}
		f.compare()
		var g errgroup.Group
		for i := range 6 {
			g.Go(func() error {
				r := request(i, 8)
				r.Expected = 1 + i
				got, err := f.Generate(t.Context(), r)
				if err == nil {
					check(t, r, got)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		rows := func(m *fake) map[int64]int {
			got := map[int64]int{}
			for _, r := range m.requests() {
				got[r.Seed/1000] += r.Count
			}
			return got
		}
		if diff := cmp.Diff([]map[int64]int{{0: 8, 1: 8}, {2: 8, 3: 8, 4: 8, 5: 8}}, []map[int64]int{rows(fakes[0]), rows(fakes[1])}); diff != "" {
			t.Errorf("samples of rows at the slow and the fast (-want +got)\n%s", diff)
		}
	})
}
