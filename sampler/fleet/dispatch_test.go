package fleet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler"
)

// sizes are how many samples each request to m was for, largest first.
func sizes(m *fake) []int {
	var out []int
	for _, r := range m.requests() {
		out = append(out, r.Count)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

func TestHowRowsAreCut(t *testing.T) {
	for _, c := range []struct {
		name             string
		servers, rows, n int
		most             int
		want             [][]int // by server; nil checks nothing but want's own length
	}{
		{"whole rows where there is room for all", 2, 8, 8, 0, [][]int{{8, 8, 8, 8}, {8, 8, 8, 8}}},
		{"one row over the idle", 4, 1, 8, 0, [][]int{{2}, {2}, {2}, {2}}},
		{"two rows over five", 5, 2, 8, 0, [][]int{{4}, {4}, {4}, {4}}}, // one is left idle: nobody has more than four for it
		{"more servers than samples", 6, 1, 4, 0, [][]int{{1}, {1}, {1}, {1}}},
		{"one server alone has whole rows", 1, 3, 8, 0, [][]int{{8, 8, 8}}},
		{"even if it has not room for all", 1, 3, 8, 8, [][]int{{8, 8, 8}}},
		{"and as much of them as it has room for", 1, 2, 8, 12, [][]int{{8, 4, 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, fakes := fleetOf(t, c.servers, Options{MaxInFlight: c.most})
				all(t, f, c.rows, c.n)
				var got [][]int
				for _, m := range fakes {
					if s := sizes(m); len(s) > 0 {
						got = append(got, s)
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// While more waits than there is room for, requests are for one sample, and a
// row stays with one server at the start.
func TestManyMoreThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 2, Options{MaxInFlight: 16})
		all(t, f, 20, 8)
		for _, m := range fakes {
			rows := map[int64]int{}
			for _, r := range m.requests()[:16] {
				if r.Count != 1 {
					t.Errorf("%s was asked for %d samples at once", m.name, r.Count)
				}
				rows[r.Seed]++
			}
			if len(rows) != 2 {
				t.Errorf("%s begins with samples of rows %v, want two whole ones", m.name, rows)
			}
		}
	})
}

func TestTheLongestBeginFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 1, Options{MaxInFlight: 1})
		expected := []int{5, 0, 9, 16, 1, 9}
		var g errgroup.Group
		for i, e := range expected {
			synctest.Wait() // they arrive in this order
			g.Go(func() error {
				r := request(i, 1)
				r.Expected = e
				_, err := f.Generate(t.Context(), r)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range fakes[0].requests() {
			got = append(got, r.Seed/1000)
		}
		if want := []int64{1, 3, 2, 5, 0, 4}; !slices.Equal(got, want) { // unknown counts as max_tokens, 16
			t.Errorf("rows began in the order %v, want %v", got, want)
		}
	})
}

// What is lost goes before what waits, however short.
func TestWhatIsLostGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 2, Options{MaxInFlight: 1})
		f.Fence("b", errGone)
		var g errgroup.Group
		ask := func(row, expected int) {
			synctest.Wait()
			g.Go(func() error {
				r := request(row, 1)
				r.Expected = expected
				_, err := f.Generate(t.Context(), r)
				return err
			})
		}
		ask(0, 1)
		time.Sleep(gathering + time.Millisecond) // it is under way
		ask(1, 16)
		ask(2, 16)
		synctest.Wait()
		f.Fence("a", errGone)
		f.Admit("b", 1)
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := fakes[1].requests(); got[0].Seed != 0 || len(got) != 3 {
			t.Errorf("after the loss of row 0: %+v", got)
		}
	})
}

// A row in parts, some of them lost, comes together in order under its own seeds.
func TestPartsKeepOrderAndSeeds(t *testing.T) {
	for lost := range 4 {
		t.Run(fmt.Sprint("server ", lost, " is lost"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, fakes := fleetOf(t, 4, Options{})
				time.AfterFunc(500*time.Millisecond, func() { f.Fence(fakes[lost].name, errGone) })
				r := request(3, 16)
				r.First, r.Count = 3, 11
				got, err := f.Generate(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				check(t, r, got)
				servers := map[string]bool{}
				for _, ro := range got {
					servers[ro.Server] = true
				}
				if len(servers) != 3 || servers[fakes[lost].name] {
					t.Errorf("servers %v", servers)
				}
			})
		})
	}
}

// No server idles while anything waits: a slow one holds nothing that a fast one could do.
func TestTheFastTakeMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := sizeless(second), sizeless(4*second)
		f, err := New(Options{Members: []Member{{"quick", quick}, {"slow", slow}}, MaxInFlight: 4})
		if err != nil {
			t.Fatal(err)
		}
		f.Admit("quick", 1)
		f.Admit("slow", 1)
		begun := time.Now()
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				_, err := f.Generate(t.Context(), request(i, 10))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		s := f.Stats()
		if took := time.Since(begun); s[0].Samples != 80 || s[1].Samples != 20 || took > 20*second+gathering {
			t.Errorf("%d and %d of 100 samples in %s, want 80 and 20 in 20 s", s[0].Samples, s[1].Samples, took)
		}
	})
}

// sizeless takes d for every request, and gives one token.
func sizeless(d time.Duration) sampler.Generator {
	return generate(func(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
		if err := sleep(ctx, d); err != nil {
			return nil, err
		}
		out := answer(r)
		for i := range out {
			out[i].TokenIDs = []int32{1}
		}
		return out, nil
	})
}
