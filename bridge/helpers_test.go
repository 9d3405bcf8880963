package bridge_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

// theta0 is where every model of these tests begins.
var theta0 = bridgetest.Model{Theta: [8]float64{0.7, -0.4, 0.2, 0.9, -0.1, 0.3, 0.5, -0.8}}

// depot has the weights of every snapshot, by version.
type depot map[int64]bridgetest.Model

func (d depot) publish(version int64, m bridgetest.Model) bridge.Snapshot {
	d[version] = m
	return bridge.Snapshot{Dir: "/depot", Version: version, SHA256: fmt.Sprint(m.Theta)}
}

// server is a deployment in memory: a bridge.Publisher and a bridge.Scorer.
type server struct {
	depot depot
	model bridgetest.Model
	calls []string // in order, of the kinds that fail knows
	// fail, by the kind of call, may fail it before it does anything; n counts the calls of that kind from 1.
	fail func(ctx context.Context, kind string, n int) error
	// spoil may change what the server scores.
	spoil func(scores [][]float32)
	keeps bool // acknowledges loads and goes on with its weights
	count map[string]int
}

func newServer(d depot) *server {
	return &server{depot: d, model: theta0.Moved(3), count: map[string]int{}}
}

func (s *server) called(ctx context.Context, kind string) error {
	s.calls = append(s.calls, kind)
	s.count[kind]++
	if s.fail == nil {
		return nil
	}
	return s.fail(ctx, kind, s.count[kind])
}

func (s *server) Load(ctx context.Context, snapshot bridge.Snapshot) error {
	if err := s.called(ctx, "load"); err != nil {
		return err
	}
	if !s.keeps {
		s.model = s.depot[snapshot.Version]
	}
	return nil
}

func (s *server) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	if err := s.called(ctx, "score"); err != nil {
		return nil, err
	}
	scores, err := s.model.Score(ctx, seqs)
	if s.spoil != nil {
		s.spoil(scores)
	}
	return scores, err
}

// asking is a server that can also be asked through its prefix cache, and for
// its checksums.
type asking struct {
	*server
	cached *bridgetest.Model // what its prefix cache holds; nil keeps none
	sums   map[string]string // besides that of the model; nil offers none
	hidden int
	spoilt float32 // is added to what comes through the cache
}

func (a *asking) Next(ctx context.Context, prompt []int32) (int32, float32, error) {
	if err := a.called(ctx, "next"); err != nil {
		return 0, 0, err
	}
	m := a.model
	if a.cached != nil {
		m = *a.cached
	}
	token, lp := m.Next(prompt)
	return token, lp + a.spoilt, nil
}

func (a *asking) Checksums(ctx context.Context) (map[string]string, int, error) {
	if err := a.called(ctx, "sums"); err != nil {
		return nil, 0, err
	}
	if a.sums == nil {
		return nil, 0, nil
	}
	sums := map[string]string{"weights": fmt.Sprint(a.model.Theta)}
	for name, sum := range a.sums {
		sums[name] = sum
	}
	return sums, a.hidden, nil
}

// rig is a bridge over servers, and the trainer that feeds it.
type rig struct {
	*bridge.Bridge
	depot   depot
	trainer *bridgetest.Model
	clock   time.Time

	mu     sync.Mutex
	told   []string         // since events was asked last
	fenced map[string]error // why, of those that OnFenced told of last
}

// events is what the bridge has told since it was asked last.
func (r *rig) events() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := strings.Join(r.told, ", ")
	r.told = nil
	return told
}

// newRig makes a bridge over these; each is a *server or an *asking.
func newRig(t *testing.T, d depot, publishers ...bridge.Publisher) *rig {
	t.Helper()
	return newRigWith(t, d, nil, publishers...)
}

// newRigWith is newRig with other options.
func newRigWith(t *testing.T, d depot, change func(*bridge.Options), publishers ...bridge.Publisher) *rig {
	t.Helper()
	m := theta0
	r := &rig{depot: d, trainer: &m, fenced: map[string]error{}}
	o := bridge.Options{
		Trainer: r.trainer, Probes: bridgetest.Probes(),
		OnLive: func(name string, version int64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, fmt.Sprintf("live %s %d", name, version))
		},
		OnFenced: func(name string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told, r.fenced[name] = append(r.told, "fenced "+name), err
		},
	}
	for i, p := range publishers {
		o.Deployments = append(o.Deployments, deployment(i, p))
	}
	if len(publishers) == 1 && change == nil { // more would make the order of its seconds a matter of chance
		o.Now = func() time.Time { r.clock = r.clock.Add(time.Second); return r.clock }
	}
	if change != nil {
		change(&o)
	}
	var err error
	if r.Bridge, err = bridge.New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// deployment is the i-th of a rig.
func deployment(i int, p bridge.Publisher) bridge.Deployment {
	return bridge.Deployment{Name: fmt.Sprintf("http://s%d", i), Publisher: p, Server: p.(bridge.Scorer)}
}

// start and advance move the trainer and take it live.
func (r *rig) start(t *testing.T, version int64, by float64) (bridge.Report, error) {
	t.Helper()
	*r.trainer = r.trainer.Moved(by)
	return r.Start(t.Context(), r.depot.publish(version, *r.trainer))
}

func (r *rig) advance(t *testing.T, version int64, by float64) (bridge.Report, error) {
	t.Helper()
	*r.trainer = r.trainer.Moved(by)
	return r.Advance(t.Context(), r.depot.publish(version, *r.trainer))
}

// started is newRig after a Start with version 1.
func started(t *testing.T, d depot, publishers ...bridge.Publisher) *rig {
	t.Helper()
	r := newRig(t, d, publishers...)
	if report, err := r.start(t, 1, 0); err != nil {
		t.Fatalf("start: %v (%+v)", err, report)
	}
	r.events()
	return r
}
