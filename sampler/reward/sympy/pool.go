package sympy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/atomicdir"
)

// Defaults of [Options].
const (
	// DefaultTimeLimit is twice what the slowest pair takes that the reference kit
	// counts as decided (2 s), for a machine that is half as fast. What takes
	// longer is a power or factorial that nobody meant as an answer.
	DefaultTimeLimit = 5 * time.Second
	// DefaultMemory is ten times what a worker has after thousands of pairs.
	DefaultMemory = 1 << 30
)

// Options of a [Pool]; the zero value is good.
type Options struct {
	Workers   int           // processes; 0: one for every CPU
	TimeLimit time.Duration // CPU time for a pair, twelve times that by the clock; 0: DefaultTimeLimit
	Memory    int64         // address space of a worker in bytes, not held on macOS; 0: DefaultMemory
	// Python is an interpreter (a path, or a name to look up) that has the three
	// libraries, instead of the program's own. "": the program's own, which is
	// set up in the cache when it is not there.
	Python string
	// Report is told, in one line each, what a user should know: what is fetched
	// and where to, versions that differ, confinement that does not hold. nil: nobody.
	Report func(line string)
}

// Pool is workers that answer for many callers at once. Open makes it, Close
// ends it. Its methods are safe for concurrent use.
type Pool struct {
	launch    launch
	removeDir func() error    // launch.dir
	life      context.Context // until Close
	kill      context.CancelFunc
	idle      chan *worker // one entry a worker; nil: to be started by who takes it
	versions  Versions
	holding   []string

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // questions, and replacements of workers
}

// Open sets the interpreter up if need be, and starts all workers; it returns
// when they are ready, after half a second or so, or, the very first time, after what a
// download of 7 MB takes. ctx bounds Open alone. Without an interpreter the error is a
// [*SetupError]. The caller closes the pool.
func Open(ctx context.Context, o Options) (*Pool, error) {
	if o.Workers < 0 || o.TimeLimit < 0 || o.Memory < 0 {
		return nil, errors.New("sympy: Workers, TimeLimit and Memory cannot be negative")
	}
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.TimeLimit == 0 {
		o.TimeLimit = DefaultTimeLimit
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Report == nil {
		o.Report = func(string) {}
	}
	python, err := findInterpreter(ctx, o.Python, o.Report)
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, o.Workers, launch{
		python: python, timeLimit: o.TimeLimit, memory: o.Memory, layers: allLayers, source: workerSource,
	})
	if err != nil {
		return nil, err
	}
	if d := p.versions.differs(); d != "" {
		o.Report("the rule grader runs on " + d)
	}
	if err := p.confined(o.Report); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// confined refuses Linux's workers when neither of the kernel's layers holds them:
// CPython's own is none to rely on alone. One of the two will do, and is told of: old
// kernels have no Landlock, and some containers do not allow it.
func (p *Pool) confined(report func(line string)) error {
	missing := slices.DeleteFunc(slices.Clone(wantedLayers), func(l string) bool { return slices.Contains(p.holding, l) })
	if slices.Contains(missing, "landlock") && slices.Contains(missing, "seccomp") {
		return &SetupError{"confine the sympy workers", errors.New("this system allows neither seccomp nor Landlock"),
			"answers are not evaluated there: use a container or kernel with one of them (the defaults of Docker and containerd have allowed both since 2022), or --verifier strict-box, which evaluates nothing"}
	}
	if len(missing) > 0 {
		report("answers are evaluated by sympy with less confinement than there could be; this system does not allow: " + strings.Join(missing, ", "))
	}
	return nil
}

// newPool starts n workers.
func newPool(ctx context.Context, n int, l launch) (_ *Pool, err error) {
	var remove func() error
	if l.dir, remove, err = atomicdir.Scratch("sympy"); err != nil {
		return nil, err
	}
	p := &Pool{launch: l, removeDir: remove, idle: make(chan *worker, n)}
	p.life, p.kill = context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	for range n {
		g.Go(func() error {
			w, err := l.start(ctx, p.life)
			if err == nil {
				p.idle <- w
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		for len(p.idle) < n {
			p.idle <- nil
		}
		return nil, errors.Join(err, p.Close())
	}
	w := <-p.idle
	p.versions, p.holding = w.hello.Versions, w.hello.Holding
	p.idle <- w
	return p, nil
}

// Versions are what the workers run on.
func (p *Pool) Versions() Versions { return p.versions }

// Confinement is the layers that hold the workers, of landlock, limits, seccomp
// and audit (see the package's comment): part of every result. Not to be changed.
func (p *Pool) Confinement() []string { return p.holding }

// Normalize is the answer as it is compared with another. It waits for a worker.
// Its errors are ctx's, or wrap sampler.ErrVerifyTimeout or one of this
// package's. Bytes of expr that are not UTF-8 count as U+FFFD, but for the three
// that a lone surrogate would have: those pass, both ways.
func (p *Pool) Normalize(ctx context.Context, expr string) (string, error) {
	kind, text, err := p.ask(ctx, askNormalize, expr, "")
	if err == nil && kind != isNormalized {
		err = fmt.Errorf("%w: %w", ErrCrashed, errNonsense)
	}
	return string(text), err
}

// Equal tells whether sympy finds that truth and given, both normalised, are the
// same. What it cannot parse, or refuses to, is not. It waits for a worker; errors
// as of Normalize.
func (p *Pool) Equal(ctx context.Context, truth, given string) (bool, error) {
	kind, _, err := p.ask(ctx, askEqual, truth, given)
	if err == nil && kind != isEqual && kind != isDifferent {
		err = fmt.Errorf("%w: %w", ErrCrashed, errNonsense)
	}
	return kind == isEqual, err
}

// Close ends all processes and waits until they are gone; questions that are
// still open fail with [ErrClosed]. Closing twice is no error.
func (p *Pool) Close() error {
	p.mu.Lock()
	again := p.closed
	p.closed = true
	p.mu.Unlock()
	if again {
		return nil
	}
	p.kill()
	p.work.Wait()
	for range cap(p.idle) {
		if w := <-p.idle; w != nil {
			w.end()
		}
	}
	return p.removeDir()
}

// enter counts something that Close waits for.
func (p *Pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.work.Add(1)
	return nil
}

func (p *Pool) ask(ctx context.Context, kind byte, first, second string) (_ byte, _ []byte, err error) {
	if err := p.enter(); err != nil {
		return 0, nil, err
	}
	defer p.work.Done()
	defer func() {
		if err != nil && p.life.Err() != nil && ctx.Err() == nil {
			err = ErrClosed
		}
	}()
	if len(first)+len(second) > maxText {
		return 0, nil, fmt.Errorf("%w: a text of %d bytes, at most %d are taken", ErrMemory, len(first)+len(second), maxText)
	}
	var w *worker
	select {
	case w = <-p.idle:
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	case <-p.life.Done():
		return 0, nil, ErrClosed
	}
	// A pair that crashes its worker is not at fault if it does not do it again.
	const attempts = 2
	for n := 1; ; n++ {
		if w == nil {
			if w, err = p.launch.start(ctx, p.life); err != nil {
				p.idle <- nil
				return 0, nil, err
			}
		}
		k, text, err := w.ask(ctx, kind, first, second)
		if n < attempts && errors.Is(err, ErrCrashed) && p.life.Err() == nil {
			w.end()
			w = nil
			continue
		}
		p.release(w, err)
		return k, text, err
	}
}

// release puts a worker back, or, when it is of no use any more, another in its
// place; nobody waits for that.
func (p *Pool) release(w *worker, err error) {
	if err == nil && !w.worn() {
		p.idle <- w
		return
	}
	p.work.Go(func() {
		w.end()
		// Who takes nil starts one itself, and is told why that fails.
		next, err := p.launch.start(p.life, p.life)
		if err != nil {
			next = nil
		}
		p.idle <- next
	})
}
