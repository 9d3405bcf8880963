package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/justrl/justrl/bridge"
)

// job is a load under way, or the last one's result.
type job struct {
	request Request
	cancel  context.CancelFunc
	done    chan struct{} // closed at its end
	counts  counts

	mu     sync.Mutex
	report Report
}

func (j *job) set(change func(*Report)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.report)
}

// now is the report as it stands.
func (j *job) now() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.report
	seconds := r.Pull.Seconds
	r.Pull = j.counts.pulled()
	r.Pull.Seconds = seconds
	return r
}

func (j *job) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// begin is the job of a request: the one that has begun with it, or a new one.
// Another's that is under way is given up first, as its trainer has.
func (a *Agent) begin(ctx context.Context, r Request) (*job, error) {
	for {
		a.mu.Lock()
		old := a.job
		switch {
		case a.closed:
			a.mu.Unlock()
			return nil, errClosed
		case old != nil && old.request.Attempt == r.Attempt:
			a.mu.Unlock()
			if old.request != r {
				return nil, fmt.Errorf("attempt %s asked for another snapshot before", r.Attempt)
			}
			return old, nil
		case old == nil || old.ended():
			j := &job{request: r, done: make(chan struct{}), report: Report{State: StatePulling}}
			ctx, cancel := context.WithCancel(a.ctx)
			j.cancel, a.job = cancel, j
			a.loads.Go(func() error {
				defer close(j.done)
				defer cancel()
				a.load(ctx, j)
				return nil
			})
			a.mu.Unlock()
			return j, nil
		}
		a.mu.Unlock()
		old.cancel()
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// load is a job from its beginning to its end.
func (a *Agent) load(ctx context.Context, j *job) {
	s, err := a.loadNow(ctx, j)
	j.set(func(r *Report) {
		r.State, r.Dir = StateLoaded, s.Dir
		if err != nil {
			r.State, r.Dir, r.Fault = StateFailed, "", faultOf(err)
		}
	})
	r := j.now()
	if err != nil {
		a.o.Notify(fmt.Sprintf("run %s, version %d: %v", j.request.Run, j.request.Version, err))
		return
	}
	a.o.Notify(fmt.Sprintf("run %s, version %d: %.1f of %.1f MiB fetched in %.1f s, loaded in %.1f s",
		j.request.Run, j.request.Version, mib(r.Pull.Fetched), mib(r.Pull.Bytes), r.Pull.Seconds, r.LoadS))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func (a *Agent) loadNow(ctx context.Context, j *job) (bridge.Snapshot, error) {
	release, err := a.hold(ctx)
	if err != nil {
		return bridge.Snapshot{}, err
	}
	defer release()
	began := time.Now()
	// What is loaded stays, for the server to go back to; so does what is asked for.
	spared := []string{place(j.request.Run, j.request.Version)}
	if a.live.Dir != "" {
		spared = append(spared, place(a.run, a.live.Version))
	}
	if err := a.folder.prune(a.o.Keep-1, spared...); err != nil {
		return bridge.Snapshot{}, fmt.Errorf("remove old snapshots: %w", err)
	}
	s, err := a.puller.pull(ctx, j.request, &j.counts)
	if err != nil {
		return bridge.Snapshot{}, fmt.Errorf("pull weights version %d: %w", j.request.Version, err)
	}
	if s.SHA256 != j.request.SHA256 || s.Version != j.request.Version {
		return bridge.Snapshot{}, fmt.Errorf("pull weights version %d: the trainer gave weights %.12s of version %d, and had asked for %.12s", j.request.Version, s.SHA256, s.Version, j.request.SHA256)
	}
	pulled := time.Now()
	j.set(func(r *Report) { r.State, r.Pull.Seconds = StateLoading, pulled.Sub(began).Seconds() })
	if a.publisher == nil || a.run != j.request.Run {
		p, err := a.o.Open(ctx, j.request.Run, s)
		if err != nil {
			return bridge.Snapshot{}, err
		}
		a.run, a.publisher, a.live = j.request.Run, p, bridge.Snapshot{}
	}
	if err := a.publisher.Load(ctx, s); err != nil {
		return bridge.Snapshot{}, err
	}
	a.live = s
	j.set(func(r *Report) { r.LoadS = time.Since(pulled).Seconds() })
	return s, nil
}
