package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/internal/endpoint"
)

// Deployment is a server at work. One method at a time, but for Find.
type Deployment interface {
	// Find says what it serves under a name, "" for the only one it has. A
	// server that does not serve it gives an [*evaluate.CannotError].
	Find(ctx context.Context, served string) (*evaluate.Server, error)
	// Load has it serve the weights of m's folder, and returns once it does.
	// Nobody asks it for anything meanwhile.
	Load(ctx context.Context, m *Model) error
	// StillLive says whether it still serves what was loaded last. An error
	// that wraps [ErrOthers] says that it does not; any other, that it did not say.
	StillLive(ctx context.Context) error
	// Restore has it serve its own weights again; they are at root, as Find's
	// Info has it.
	Restore(ctx context.Context, root string) error
}

// ErrOthers is a server with other weights than it was told to load.
var ErrOthers = errors.New("the server has other weights than it was told to load")

// Work is an evaluation that is to be done now.
type Work struct {
	*Evaluation
	Asker       evaluate.Asker
	Concurrency int // requests at once that the servers take, all together
	Servers     []evaluate.ServerInfo
	Findings    func() evaluate.Findings
	// Answered is to be told of every new answer's set and length in tokens.
	Answered func(set string, tokens int)
}

// Sweep does what a plan has left.
type Sweep struct {
	Plan        *Plan
	State       *State // joined with the plan
	Deployments map[*Server]Deployment
	// Run samples and grades one evaluation, and writes its results. It is
	// called concurrently.
	Run func(ctx context.Context, w Work) error
	// ServersFault tells whether an error is a server's: the other servers'
	// evaluations go on then. Any other ends the sweep.
	ServersFault func(error) bool
	Retry        endpoint.Retry
	Quiet        time.Duration // how long a server may send nothing at all; 0 is [evaluate.DefaultQuiet]
	Notice       func(format string, args ...any)

	pool  *pool
	lanes map[*Model][]*lane
	turn  int

	mu sync.Mutex // over State
}

// side is how many evaluations a server may have at once: one that ends, and one that fills up.
const side = 2

// Do works until all evaluations are complete, or none that is left can be
// done. It blocks until everything it has begun has ended. The error joins
// those of all evaluations that failed, or is outer's cause.
func (s *Sweep) Do(outer context.Context) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	s.pool, s.lanes = newPool(), map[*Model][]*lane{}
	b := &board{s: s, running: map[*Server][]*Evaluation{}, gone: map[*Server]error{}, state: map[*Evaluation]progress{}}
	for _, e := range s.Plan.Left() {
		b.pending = append(b.pending, e)
		b.state[e] = waiting
	}
	if err := s.findAll(ctx, b); err != nil {
		return err
	}
	err := b.work(ctx, cancel)
	return errors.Join(err, s.restoreAll(outer))
}

// findAll asks every server what it serves. One that is not there is left out;
// a model that nobody serves is an error now, before anything is asked.
func (s *Sweep) findAll(ctx context.Context, b *board) error {
	for _, e := range slices.Clone(b.pending) {
		m := e.Model
		if _, known := s.lanes[m]; known || m.Folder != "" || !e.asks() {
			continue
		}
		var faults, cannots []error
		var lanes []*lane
		for _, server := range m.Servers {
			found, err := s.find(ctx, b, server, m.Served)
			var cannot *evaluate.CannotError
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.As(err, &cannot) && m.Any:
				cannots = append(cannots, err)
				continue
			case errors.As(err, &cannot):
				return fmt.Errorf("model %s: %w", m.Name, err)
			case err != nil:
				faults = append(faults, err)
				continue
			}
			l, err := newLane(server, found, s.Retry, s.Quiet)
			if err != nil {
				return err
			}
			lanes = append(lanes, l)
		}
		if len(lanes) == 0 && len(faults) == 0 {
			return fmt.Errorf("model %s: no server has it: %w", m.Name, oneLine(cannots))
		}
		if len(lanes) == 0 {
			b.lost(m, oneLine(faults))
		}
		s.lanes[m] = spread(lanes)
	}
	return nil
}

// spread leaves trying again to the asker where there are several lanes.
func spread(lanes []*lane) []*lane {
	for _, l := range lanes {
		if len(lanes) > 1 {
			l.fleet.Retry = endpoint.Retry{Tries: 1, Notify: l.fleet.Retry.Notify}
		}
	}
	return lanes
}

// find asks a server once, however many models it may serve: one that is away is so for all.
func (s *Sweep) find(ctx context.Context, b *board, server *Server, served string) (*evaluate.Server, error) {
	if err := b.gone[server]; err != nil {
		return nil, err
	}
	found, err := s.Deployments[server].Find(ctx, served)
	var cannot *evaluate.CannotError
	if err != nil && !errors.As(err, &cannot) && ctx.Err() == nil {
		b.gone[server] = err
		s.Notice("%s is not there, its cells wait: %v", server.Name, err)
	}
	return found, err
}

// do is one evaluation, from its servers to its results.
func (s *Sweep) do(ctx context.Context, e *Evaluation, turn int) error {
	if err := e.borrow(); err != nil {
		return err
	}
	if !e.asks() {
		return s.Run(ctx, Work{Evaluation: e, Asker: complete{}, Concurrency: 1,
			Findings: func() evaluate.Findings { return evaluate.Findings{} }, Answered: func(string, int) {}})
	}
	lanes, err := s.prepare(ctx, e)
	if err != nil {
		return err
	}
	sizes, err := e.sizes()
	if err != nil {
		return err
	}
	w := Work{Evaluation: e, Asker: &asker{s.pool, turn, lanes, s.Retry}, Findings: func() evaluate.Findings { return findings(lanes) }}
	w.Answered = func(set string, tokens int) { s.answered(e, set, tokens) }
	for _, l := range lanes {
		w.Concurrency += l.server.Concurrency
		w.Servers = append(w.Servers, l.fleet.Infos()...)
	}
	err = s.Run(ctx, w)
	s.remember(e, lanes)
	if e.Model.Folder == "" {
		return err
	}
	if others := s.stillLive(ctx, lanes); others != nil {
		return errors.Join(err, fmt.Errorf("%s: the answers of this run are dropped: %w", e.Name, others), e.rewind(sizes))
	}
	return err
}

// prepare has the evaluation's weights on its servers.
func (s *Sweep) prepare(ctx context.Context, e *Evaluation) ([]*lane, error) {
	m := e.Model
	if m.Folder == "" {
		for _, l := range s.lanes[m] {
			if err := s.restore(ctx, l.server); err != nil {
				return nil, err
			}
		}
		return s.lanes[m], nil
	}
	var lanes []*lane
	var faults []error
	for _, server := range m.Servers {
		found, err := s.load(ctx, server, m)
		var l *lane
		if err == nil {
			l, err = newLane(server, found, s.Retry, s.Quiet)
		}
		if err != nil {
			if ctx.Err() != nil || !s.ServersFault(err) {
				return nil, err
			}
			faults = append(faults, err)
			s.Notice("%s is left out: %v", server.Name, err)
			continue
		}
		lanes = append(lanes, l)
	}
	if len(lanes) == 0 {
		return nil, &AskError{oneLine(faults)}
	}
	return spread(lanes), nil
}

// load has a server serve a folder's weights. That it does is noted before: a
// process that is killed must be able to put it right.
func (s *Sweep) load(ctx context.Context, server *Server, m *Model) (*evaluate.Server, error) {
	d := s.Deployments[server]
	if server.URL == Embedded {
		if err := d.Load(ctx, m); err != nil {
			return nil, err
		}
		return d.Find(ctx, m.Served)
	}
	found, err := d.Find(ctx, m.Served)
	if err != nil {
		return nil, err
	}
	if err := s.change(func(st *State) { st.Loaded[server.URL] = Loaded{Folder: m.Folder, Root: found.Info.Root} }); err != nil {
		return nil, err
	}
	s.Notice("loading %s into %s", m.Folder, server.Name)
	return found, d.Load(ctx, m)
}

// restore gives a server its own weights back, if this sweep took them.
func (s *Sweep) restore(ctx context.Context, server *Server) error {
	s.mu.Lock()
	was, loaded := s.State.Loaded[server.URL]
	s.mu.Unlock()
	if !loaded {
		return nil
	}
	if err := s.Deployments[server].Restore(ctx, was.Root); err != nil {
		return fmt.Errorf("%s still has the weights of %s: start it anew, or load %s: %w", server.Name, was.Folder, was.Root, err)
	}
	s.Notice("%s has its own weights again (%s)", server.Name, was.Root)
	return s.change(func(st *State) { delete(st.Loaded, server.URL) })
}

// restoreAll does so at the end. An interrupted sweep leaves the weights, which
// it would load again, and says so.
func (s *Sweep) restoreAll(ctx context.Context) error {
	for _, server := range s.Plan.Spec.Servers {
		if server.URL == Embedded {
			if d := s.Deployments[server]; d != nil {
				if err := d.Restore(context.WithoutCancel(ctx), ""); err != nil {
					return err
				}
			}
			continue
		}
		if ctx.Err() != nil {
			if l, ok := s.State.Loaded[server.URL]; ok {
				s.Notice("%s still has the weights of %s, not its own (%s)", server.Name, l.Folder, l.Root)
			}
			continue
		}
		if err := s.restore(ctx, server); err != nil {
			s.Notice("%v", err) // what was measured is none the worse for it
		}
	}
	return nil
}

// liveLimit bounds the question whether a server still has the weights.
const liveLimit = time.Minute

// stillLive is an error if a server is known to have others.
func (s *Sweep) stillLive(ctx context.Context, lanes []*lane) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), liveLimit)
	defer cancel()
	for _, l := range lanes {
		if err := s.Deployments[l.server].StillLive(ctx); errors.Is(err, ErrOthers) {
			return err
		}
	}
	return nil
}

// change changes the state and writes it.
func (s *Sweep) change(f func(*State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.State)
	return s.State.Write(s.Plan.Dir)
}

func findings(lanes []*lane) evaluate.Findings {
	var out evaluate.Findings
	for _, l := range lanes {
		f := l.fleet.Findings()
		if f.Clipped > 0 && (out.Clipped == 0 || f.Clipped < out.Clipped) {
			out.Clipped = f.Clipped
		}
		out.Plain, out.Apart = out.Plain || f.Plain, out.Apart || f.Apart
	}
	return out
}

// oneLine is several errors as one line's.
func oneLine(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	words := make([]string, len(errs))
	for i, e := range errs {
		words[i] = e.Error()
	}
	return &several{strings.Join(words, "; "), errs}
}

type several struct {
	words string
	errs  []error
}

func (s *several) Error() string   { return s.words }
func (s *several) Unwrap() []error { return s.errs }

// end is an evaluation that came to its end.
type end struct {
	e   *Evaluation
	err error
}

// begin starts an evaluation.
func (s *Sweep) begin(ctx context.Context, g *errgroup.Group, e *Evaluation, ends chan<- end) {
	s.turn++
	turn := s.turn
	g.Go(func() error {
		ends <- end{e, s.do(ctx, e, turn)}
		return nil
	})
}
