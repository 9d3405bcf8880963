package cli

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
)

// deploymentInMemory is a server as fleet and bridge see it.
type deploymentInMemory struct {
	mu    sync.Mutex
	name  string
	model bridgetest.Model
	depot *depot
	dead  bool
	keeps bool          // acknowledges loads and keeps its weights
	tries int           // to bring it back
	drops int           // requests that fail, from now on
	takes time.Duration // to answer
}

// depot has the weights of every snapshot, by version.
type depot struct {
	mu sync.Mutex
	of map[int64]bridgetest.Model
}

func (d *depot) get(version int64) bridgetest.Model {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of[version]
}

var errGone = &endpoint.UnreachableError{Method: "POST", URL: "http://it/v1", Hint: "start it", Err: errors.New("connection refused")}

func (d *deploymentInMemory) alive() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errGone
	}
	return nil
}

func (d *deploymentInMemory) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *deploymentInMemory) Load(_ context.Context, s bridge.Snapshot) error {
	if err := d.alive(); err != nil {
		return err
	}
	d.set(func() {
		if !d.keeps {
			d.model = d.depot.get(s.Version)
		}
	})
	return nil
}

func (d *deploymentInMemory) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.model.Score(ctx, seqs)
}

func (d *deploymentInMemory) Generate(context.Context, sampler.Request) ([]sampler.Rollout, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	takes, drops := d.takes, d.drops > 0
	d.drops--
	d.mu.Unlock()
	if drops {
		return nil, errGone
	}
	time.Sleep(takes)
	return []sampler.Rollout{{TokenIDs: []int32{1}}}, nil
}

func (d *deploymentInMemory) deployment() bridge.Deployment {
	return bridge.Deployment{Name: d.name, Publisher: d, Server: d}
}

// kept is a keeper over servers in memory, started with version 1.
type kept struct {
	*keeper
	trainer bridgetest.Model
	all     []*deploymentInMemory
	depot   *depot
	still   []string
}

func keep(t *testing.T, names ...string) *kept {
	t.Helper()
	k := &kept{trainer: bridgetest.Model{Theta: [8]float64{0.7, -0.4, 0.2, 0.9, -0.1, 0.3, 0.5, -0.8}}, depot: &depot{of: map[int64]bridgetest.Model{}}}
	k.keeper = &keeper{
		told: func(journal.ServerEvent) {}, still: func(name string, err error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.still = append(k.still, name+": "+err.Error())
		},
		out: map[string]*outage{}, asking: map[string]bool{}, lies: map[string]int{},
	}
	k.ctx, k.stop = context.WithCancel(t.Context())
	members := k.watching(fleet.Options{Patience: time.Hour})
	deployments := bridge.Options{Trainer: &k.trainer, Probes: bridgetest.Probes(), Patience: time.Hour, OnLive: k.live, OnFenced: k.fencedByBridge}
	by := map[string]*deploymentInMemory{}
	for _, name := range names {
		d := &deploymentInMemory{name: name, depot: k.depot}
		by[name], k.all = d, append(k.all, d)
		members.Members = append(members.Members, fleet.Member{Name: name, Generator: d})
		deployments.Deployments = append(deployments.Deployments, d.deployment())
	}
	k.back = func(ctx context.Context, name string, _ bool) error {
		d := by[name]
		d.set(func() { d.tries++ })
		if err := d.alive(); err != nil {
			return err
		}
		return k.bridge.Rejoin(ctx, d.deployment())
	}
	var err error
	if k.fleet, err = fleet.New(members); err != nil {
		t.Fatal(err)
	}
	if k.bridge, err = bridge.New(deployments); err != nil {
		t.Fatal(err)
	}
	if _, err := k.bridge.Start(t.Context(), k.publish(1)); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kept) publish(version int64) bridge.Snapshot {
	k.depot.mu.Lock()
	defer k.depot.mu.Unlock()
	k.depot.of[version] = k.trainer
	return bridge.Snapshot{Dir: "/depot", Version: version, SHA256: string(rune('a' + version))}
}

// step moves the trainer and takes it live.
func (k *kept) step(t *testing.T, version int64) {
	t.Helper()
	k.trainer = k.trainer.Moved(0.05)
	if r, err := k.bridge.Advance(t.Context(), k.publish(version)); err != nil {
		t.Fatalf("version %d: %v (%+v)", version, err, r)
	}
}

func (k *kept) ask(t *testing.T, version int64) string {
	t.Helper()
	out, err := k.fleet.Generate(t.Context(), sampler.Request{
		PromptTokenIDs: []int32{1}, Count: 1, Version: version, Params: sampler.Params{N: 1, TopP: 1, TopK: -1, MaxTokens: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Server
}

func (k *kept) serving(version int64) (names []string) {
	for _, m := range k.fleet.Stats() {
		if !m.Fenced && m.Version == version {
			names = append(names, m.Name)
		}
	}
	return names
}

func sameEvents(t *testing.T, got, want []journal.ServerEvent) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(journal.ServerEvent{}, "Time", "Seconds")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A server that the fleet sees die is out on both sides, and comes back with
// what is live then.
func TestKeeperBringsBackWhoDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, "a", "b")
		a := k.all[0]
		a.set(func() { a.dead = true })
		for range 4 { // whoever is asked first
			if got := k.ask(t, 1); got != "b" {
				t.Fatalf("answered by %s", got)
			}
		}
		k.step(t, 2)
		if diff := cmp.Diff([]string{"b"}, k.serving(2)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if a.tries < 25 || a.tries > 100 { // 10 s apart in the end, half more or less
			t.Errorf("tried %d times in 5 minutes", a.tries)
		}
		if diff := cmp.Diff([]string{"a: " + errGone.Error()}, k.still); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
		a.set(func() { a.dead, a.model = false, bridgetest.Model{} })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, k.serving(2)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		sameEvents(t, k.Events(), []journal.ServerEvent{
			{Server: "a", Event: journal.ServerFenced, Reason: errGone.Error()},
			{Server: "a", Event: journal.ServerRejoined, Version: 2},
		})
		k.step(t, 3)
		if diff := cmp.Diff([]string{"a", "b"}, k.serving(3)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// What a slow server was slow over is one event a step, with its slowest
// request, and told once; what each was asked for is counted from step to step.
func TestKeeperTellsOfStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, "a")
		var told []journal.ServerEvent
		k.told = func(e journal.ServerEvent) { told = append(told, e) }
		a := k.all[0]
		ask := func(times int, takes time.Duration) {
			a.set(func() { a.takes = takes })
			for range times {
				k.ask(t, 1)
			}
		}
		ask(16, time.Second) // now it is known what is usual
		k.Asked()
		ask(1, 4*time.Second) // slow, and nothing to be told of
		ask(1, 10*time.Second)
		ask(1, 20*time.Second)
		ask(1, 15*time.Second)
		want := journal.ServerEvent{Server: "a", Event: journal.ServerStraggles, Seconds: 10, Usual: 1, Requests: 3} // noticed while they were under way
		told = append(told, k.Events()...)
		first := want
		first.Requests = 1
		if diff := cmp.Diff([]journal.ServerEvent{first, want}, told, cmpopts.IgnoreFields(journal.ServerEvent{}, "Time"), cmpopts.EquateApprox(0, 0.01)); diff != "" {
			t.Errorf("told, and recorded (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]journal.ServerPart{{Server: "a", Seconds: 49, Stragglers: 4}}, k.Asked()); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		ask(1, 30*time.Second)
		if got := k.Events(); len(got) != 1 || got[0].Requests != 1 {
			t.Errorf("of the next step: %+v", got)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A server that the bridge finds out is taken from the fleet, and once it is
// honest again it comes back; what it gave is noted.
func TestKeeperFencesWhoLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, "a", "b")
		a := k.all[0]
		k.step(t, 2)
		a.set(func() { a.keeps = true; a.model = k.depot.get(1) })
		others, err := k.bridge.Check(t.Context())
		if err != nil || len(others) != 1 {
			t.Fatal(others, err)
		}
		k.TakenBack("a", 7)
		time.Sleep(time.Minute) // its lies are found out again and again
		synctest.Wait()
		if diff := cmp.Diff([]string{"b"}, k.serving(2)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		a.set(func() { a.keeps = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, k.serving(2)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		events := k.Events()
		for i := range events {
			events[i].Reason = ""
		}
		sameEvents(t, events, []journal.ServerEvent{
			{Server: "a", Event: journal.ServerFenced, TakenBack: 7},
			{Server: "a", Event: journal.ServerRejoined, Version: 2},
		})
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// With nobody left a request waits, and so does a load, for whoever comes back first.
func TestKeeperOutlastsAllServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, "a", "b")
		for _, d := range k.all {
			d.set(func() { d.dead = true })
		}
		b := k.all[1]
		revive := func() {
			time.Sleep(10 * time.Minute)
			b.set(func() { b.dead, b.model = false, bridgetest.Model{} })
		}
		go revive() // the bubble waits for it
		if got := k.ask(t, 1); got != "b" {
			t.Errorf("answered by %s", got)
		}
		b.set(func() { b.dead = true })
		go revive()
		k.step(t, 2)
		if diff := cmp.Diff([]string{"b"}, k.serving(2)); diff != "" {
			t.Errorf("serving (-want +got):\n%s", diff)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A server that fails the moment it is admitted is out again, on both sides, and
// brought back again.
func TestKeeperSeesWhoFailsAtOnce(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t, "a")
			a := k.all[0]
			a.set(func() { a.drops = 1 }) // what is asked of it first
			k.bridge.Fence("a", errGone)
			k.fleet.Fence("a", errGone)
			asked := make(chan string, 1)
			go func() { asked <- k.ask(t, 1) }() // waits for it
			select {
			case got := <-asked:
				if got != "a" {
					t.Errorf("answered by %q", got)
				}
			case <-time.After(10 * time.Minute):
				t.Errorf("it is out for good: %+v", k.fleet.Stats()[0])
				a.set(func() { a.drops = 0 })
				k.fleet.Admit("a", 1)
				<-asked
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
