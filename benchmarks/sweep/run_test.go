package sweep

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

const chat = "/v1/chat/completions"

// world is servers by name, and what was done with them, in order.
type world struct {
	mu     sync.Mutex
	events []string
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

// fakeDeployment is a real fake server, whose loads are only noted.
type fakeDeployment struct {
	w        *world
	name     string
	e        *endpoint.Endpoint
	others   error // of StillLive
	loading  error
	restores error
}

func (d *fakeDeployment) Find(ctx context.Context, served string) (*evaluate.Server, error) {
	return evaluate.Find(ctx, d.e, served, endpoint.Retry{Tries: 1})
}

func (d *fakeDeployment) Load(_ context.Context, m *Model) error {
	d.w.note("load %s into %s", m.Name, d.name)
	return d.loading
}
func (d *fakeDeployment) StillLive(context.Context) error { return d.others }
func (d *fakeDeployment) Restore(_ context.Context, root string) error {
	d.w.note("restore %s", d.name)
	return d.restores
}

// fixture is a sweep over fake servers.
type fixture struct {
	*Sweep
	w       *world
	servers map[string]*openaitest.Server
	fakes   map[string]*fakeDeployment
}

func server(t *testing.T, model string) *openaitest.Server {
	t.Helper()
	return openaitest.New(t, openaitest.Options{Model: model, Script: func([]int32, int64) []int32 { return openaitest.Encode("2<|im_end|>") }})
}

// newFixture plans a spec in which the names of servers stand for their URLs.
func newFixture(t *testing.T, text string, servers map[string]*openaitest.Server) *fixture {
	t.Helper()
	dir := folder(t, map[string]string{"sums.jsonl": sums})
	for _, step := range []string{"1", "2"} {
		checkpoint(t, filepath.Join(dir, "runs/x/checkpoints/step-00000"+step), step)
	}
	for name, s := range servers {
		text = strings.ReplaceAll(text, "URL-"+name, s.URL)
	}
	f := &fixture{w: &world{}, servers: servers, fakes: map[string]*fakeDeployment{}}
	f.Sweep = &Sweep{
		Plan: plan(t, spec(t, dir, text), filepath.Join(dir, "out")), Deployments: map[*Server]Deployment{},
		Retry:        endpoint.Retry{First: time.Millisecond, Most: time.Millisecond, Patience: 50 * time.Millisecond},
		ServersFault: func(err error) bool { return errors.As(err, new(*AskError)) },
		Notice:       func(format string, args ...any) { t.Logf(format, args...) },
	}
	f.Run = f.measure
	unlock, err := Lock(f.Plan.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unlock() })
	if f.State, err = ReadState(f.Plan.Dir); err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Plan.Spec.Servers {
		e, err := endpoint.New(s.URL, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		f.fakes[s.Name] = &fakeDeployment{w: f.w, name: s.Name, e: e}
		f.Deployments[s] = f.fakes[s.Name]
	}
	return f
}

// measure asks for every answer of an evaluation, as many at once as it may.
func (f *fixture) measure(ctx context.Context, w Work) error {
	f.w.note("begin %s", w.Name)
	var g errgroup.Group
	g.SetLimit(w.Concurrency)
	for _, c := range w.Cells {
		for i := range c.Size() - c.There {
			g.Go(func() error {
				a, err := w.Asker.Ask(ctx, openai.ChatRequest{Messages: []openai.Message{{Role: "user", Content: w.Name}}, N: 1, TopP: 1, MaxTokens: 10, Seed: int64(i), Extensions: openai.Neutral()})
				if err == nil {
					w.Answered(c.Set.Name, a.Tokens)
				}
				return err
			})
		}
	}
	err := g.Wait()
	f.w.note("end %s", w.Name)
	return err
}

func (f *fixture) wantEvents(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(f.w.events, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(f.w.events, "\n"), strings.Join(want, "\n"))
	}
}

const short = "\nsets: sums.jsonl\nsampling: {n: 2, max_tokens: 10, seed: [0, 1]}\n"

// Weights of its own come first; then one checkpoint after another, each with
// the server to itself; then the server has its own back.
func TestCheckpointsOneAfterAnother(t *testing.T) {
	a := server(t, "tiny")
	f := newFixture(t, "models: [runs/x/checkpoints/step-000001, runs/x/checkpoints/step-000002, tiny]\nservers: {name: a, url: URL-a, concurrency: 4}"+short, map[string]*openaitest.Server{"a": a})
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	const rest = "-t0.7-p0.9-n2-m10-s"
	own := f.w.events[:4]
	for _, seed := range []string{"0", "1"} {
		if !slices.Contains(own, "begin tiny"+rest+seed) || !slices.Contains(own, "end tiny"+rest+seed) {
			t.Errorf("the server's own come as %q", own)
		}
	}
	f.w.events = f.w.events[4:]
	f.wantEvents(t,
		"load x-step-000001 into a", "begin x-step-000001"+rest+"0", "end x-step-000001"+rest+"0",
		"load x-step-000001 into a", "begin x-step-000001"+rest+"1", "end x-step-000001"+rest+"1",
		"load x-step-000002 into a", "begin x-step-000002"+rest+"0", "end x-step-000002"+rest+"0",
		"load x-step-000002 into a", "begin x-step-000002"+rest+"1", "end x-step-000002"+rest+"1",
		"restore a")
	if len(f.State.Loaded) != 0 {
		t.Errorf("loaded %v", f.State.Loaded)
	}
	if n := len(a.Requests(chat)); n != 6*6 {
		t.Errorf("%d requests", n)
	}
}

// What an earlier process left in a server is put right before the server's own
// weights are measured.
func TestRestoresWhatWasLeft(t *testing.T) {
	a := server(t, "tiny")
	f := newFixture(t, "models: tiny\nservers: {name: a, url: URL-a}"+short, map[string]*openaitest.Server{"a": a})
	f.State.Loaded[a.URL] = Loaded{Folder: "x", Root: "y"}
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.w.events[0] != "restore a" || len(f.State.Loaded) != 0 {
		t.Errorf("events %q, loaded %v", f.w.events, f.State.Loaded)
	}
	f = newFixture(t, "models: tiny\nservers: {name: a, url: URL-a}"+short, map[string]*openaitest.Server{"a": a})
	f.State.Loaded[a.URL] = Loaded{Folder: "x", Root: "y"}
	f.fakes["a"].restores = errors.New("no")
	if err := f.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "still has the weights of x") || slices.ContainsFunc(f.w.events, func(e string) bool { return strings.HasPrefix(e, "begin") }) {
		t.Errorf("error %v, events %q", err, f.w.events)
	}
}

// Two models on two servers are measured at the same time.
func TestServersWorkAtTheSameTime(t *testing.T) {
	f := newFixture(t, "models: [m, n]\nservers: [{name: a, url: URL-a}, {name: b, url: URL-b}]"+short, map[string]*openaitest.Server{"a": server(t, "m"), "b": server(t, "n")})
	both := make(chan string, 4)
	met := make(chan struct{})
	var once sync.Once
	f.Run = func(ctx context.Context, w Work) error {
		both <- w.Model.Name
		once.Do(func() {
			go func() { // ends with met
				seen := map[string]bool{}
				for len(seen) < 2 {
					seen[<-both] = true
				}
				close(met)
			}()
		})
		select {
		case <-met:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A server's concurrency is one limit, over evaluations and models.
func TestConcurrencyIsShared(t *testing.T) {
	var a *openaitest.Server
	var most atomic.Int64
	a = openaitest.New(t, openaitest.Options{Model: "tiny", TokenTime: time.Millisecond, Script: func([]int32, int64) []int32 {
		for now := int64(a.Running()); ; {
			if old := most.Load(); now <= old || most.CompareAndSwap(old, now) {
				return openaitest.Encode("2<|im_end|>")
			}
		}
	}})
	f := newFixture(t, "models: [{model: tiny, name: one}, {model: tiny, name: two}]\nservers: {name: a, url: URL-a, concurrency: 3}\nsets: sums.jsonl\nsampling: {n: 8, seed: [0, 1]}\n", map[string]*openaitest.Server{"a": a})
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Requests(chat)); n != 4*24 {
		t.Errorf("%d requests", n)
	}
	if got := most.Load(); got != 3 {
		t.Errorf("%d requests at once, want 3", got)
	}
	st, err := ReadState(f.Plan.Dir)
	if err != nil {
		t.Fatal(err)
	}
	one := f.Plan.Spec.Models[0]
	if v := st.Speeds[speedKey(f.Plan.Spec.Servers[0], one)]; v.Tokens != 48*2 || v.Seconds <= 0 {
		t.Errorf("speed %+v", v)
	}
	if l := f.State.Lengths[lengthKey(one, "sums")]; l.Answers != 48 || l.Tokens != 96 {
		t.Errorf("lengths %+v", l)
	}
}

// A server that goes away takes its own evaluations with it, and no others.
func TestServerGoesAway(t *testing.T) {
	a, b := server(t, "m"), server(t, "n")
	a.Inject(openaitest.Fault{Kind: openaitest.FaultClose, Path: chat, After: 3, Times: -1})
	f := newFixture(t, "models: [m, n]\nservers: [{name: a, url: URL-a, concurrency: 1}, {name: b, url: URL-b}]\nsets: sums.jsonl\nsampling: {n: 2, seed: [0, 1, 2]}\n", map[string]*openaitest.Server{"a": a, "b": b})
	err := f.Do(t.Context())
	var ask *AskError
	if !errors.As(err, &ask) || !strings.Contains(err.Error(), a.URL) || !strings.Contains(err.Error(), "m-t0.7-p0.9-n2-m31744-s0: ") || strings.Contains(err.Error(), b.URL) {
		t.Errorf("error %v", err)
	}
	for _, seed := range []string{"0", "1", "2"} {
		if !slices.Contains(f.w.events, "end n-t0.7-p0.9-n2-m31744-s"+seed) {
			t.Errorf("events %q", f.w.events)
		}
	}
	if len(b.Requests(chat)) != 18 {
		t.Errorf("%d requests", len(b.Requests(chat)))
	}
	if slices.Contains(f.w.events, "begin m-t0.7-p0.9-n2-m31744-s2") {
		t.Errorf("the third was begun: %q", f.w.events)
	}
}

// One that is away at the start is passed over; a second server of the model does its work.
func TestServerIsAwayAtTheStart(t *testing.T) {
	a, b := server(t, "m"), server(t, "m")
	a.Close()
	f := newFixture(t, "models: m\nservers: [URL-a, URL-b]"+short, map[string]*openaitest.Server{"a": a, "b": b})
	if err := f.Do(t.Context()); err != nil || len(b.Requests(chat)) != 12 {
		t.Errorf("%v, %d requests", err, len(b.Requests(chat)))
	}
	f = newFixture(t, "models: [{model: m, servers: 'URL-a', name: one}, {model: m, servers: 'URL-b', name: two}]\nservers: [URL-a, URL-b]"+short, map[string]*openaitest.Server{"a": a, "b": b})
	err := f.Do(t.Context())
	if err == nil || !strings.Contains(err.Error(), "model one: ") || len(b.Requests(chat)) != 24 {
		t.Errorf("%v, %d requests", err, len(b.Requests(chat)))
	}
}

// A model that nobody serves ends the sweep before anything is asked.
func TestNobodyServesIt(t *testing.T) {
	a, b := server(t, "m"), server(t, "n")
	f := newFixture(t, "models: [m, o]\nservers: [URL-a, URL-b]"+short, map[string]*openaitest.Server{"a": a, "b": b})
	err := f.Do(t.Context())
	var cannot *evaluate.CannotError
	if !errors.As(err, &cannot) || !strings.Contains(err.Error(), "model o: no server has it") || strings.Contains(err.Error(), "\n") || len(a.Requests(chat)) != 0 {
		t.Errorf("%v, %d requests", err, len(a.Requests(chat)))
	}
}

// Two servers of one model share the work; what one does not answer the other does.
func TestServersShareAModel(t *testing.T) {
	a, b := server(t, "m"), server(t, "m")
	f := newFixture(t, "models: m\nservers: [{url: URL-a, concurrency: 2}, {url: URL-b, concurrency: 2}]\nsets: sums.jsonl\nsampling: {n: 20}\n", map[string]*openaitest.Server{"a": a, "b": b})
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x, y := len(a.Requests(chat)), len(b.Requests(chat)); x+y != 60 || x == 0 || y == 0 {
		t.Errorf("%d and %d requests", x, y)
	}
	a.Inject(openaitest.Fault{Kind: openaitest.FaultClose, Path: chat, Times: -1})
	f = newFixture(t, "models: m\nservers: [{url: URL-a, concurrency: 2}, {url: URL-b, concurrency: 2}]\nsets: sums.jsonl\nsampling: {n: 20}\n", map[string]*openaitest.Server{"a": a, "b": b})
	f.Retry.Patience = time.Second
	if err := f.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A fault that is no server's ends the sweep, and nothing goes on behind it.
func TestOtherFaultsEndIt(t *testing.T) {
	f := newFixture(t, "models: [m, n]\nservers: [URL-a, URL-b]"+short, map[string]*openaitest.Server{"a": server(t, "m"), "b": server(t, "n")})
	full := errors.New("the disk is full")
	f.Run = func(ctx context.Context, w Work) error {
		if w.Model.Name == "m" {
			return full
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if err := f.Do(t.Context()); !errors.Is(err, full) || !strings.Contains(err.Error(), "m-t0.7") {
		t.Errorf("error %v", err)
	}
}

// An interrupted sweep says what it leaves in a server.
func TestInterrupt(t *testing.T) {
	a := server(t, "tiny")
	f := newFixture(t, "models: runs/x/checkpoints/step-000001\nservers: {name: a, url: URL-a}"+short, map[string]*openaitest.Server{"a": a})
	ctx, cancel := context.WithCancel(t.Context())
	f.Run = func(ctx context.Context, _ Work) error {
		cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}
	said := ""
	f.Notice = func(format string, args ...any) { said += fmt.Sprintf(format, args...) + "\n" }
	if err := f.Do(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(said, "a still has the weights of") || slices.Contains(f.w.events, "restore a") {
		t.Errorf("error %v, said %q", err, said)
	}
	if st, err := ReadState(f.Plan.Dir); err != nil || len(st.Loaded) != 1 {
		t.Errorf("state %+v, %v", st, err)
	}
}

// The answers of a server that turns out to have other weights are dropped,
// those of earlier processes stay.
func TestOtherWeights(t *testing.T) {
	a := server(t, "tiny")
	f := newFixture(t, "models: runs/x/checkpoints/step-000001\nservers: {name: a, url: URL-a}\nsets: sums.jsonl\nsampling: {n: 2}\n", map[string]*openaitest.Server{"a": a})
	answers(t, f.Plan.Evaluations[0], 2, false)
	f.Plan = plan(t, f.Plan.Spec, f.Plan.Dir)
	f.fakes["a"].others = fmt.Errorf("%w: it was restarted", ErrOthers)
	f.ServersFault = func(err error) bool { return errors.Is(err, ErrOthers) }
	f.Run = func(_ context.Context, w Work) error {
		answers(t, w.Evaluation, 6, true)
		return nil
	}
	err := f.Do(t.Context())
	if !errors.Is(err, ErrOthers) || !strings.Contains(err.Error(), "are dropped") {
		t.Errorf("error %v", err)
	}
	if again := plan(t, f.Plan.Spec, f.Plan.Dir).Evaluations[0]; again.Done || again.Cells[0].There >= 6 {
		t.Errorf("done %t, %d answers", again.Done, again.Cells[0].There)
	}
}

// Judges share answers: they are asked for once, and the second has a copy.
func TestJudgesShareAnswers(t *testing.T) {
	a := server(t, "m")
	f := newFixture(t, "models: m\nservers: URL-a\nsets: sums.jsonl\nsampling: {n: 2}\njudges: [none, http://j:1]\n", map[string]*openaitest.Server{"a": a})
	f.Run = func(ctx context.Context, w Work) error {
		if w.Lead != nil {
			if n, err := lines(w.Cells[0].File); err != nil || n != 6 {
				t.Errorf("%d answers to begin with, %v", n, err)
			}
			_, err := w.Asker.Ask(ctx, openai.ChatRequest{})
			if !errors.Is(err, errIncomplete) {
				t.Errorf("error %v", err)
			}
			return nil
		}
		err := f.measure(ctx, w)
		answers(t, w.Evaluation, 6, true)
		return err
	}
	if err := f.Do(t.Context()); err != nil || len(a.Requests(chat)) != 6 {
		t.Errorf("%v, %d requests", err, len(a.Requests(chat)))
	}
	// A third that comes later needs no request either.
	later := plan(t, spec(t, filepath.Dir(f.Plan.Dir), "models: m\nservers: http://a:1\nsets: sums.jsonl\nsampling: {n: 2}\njudges: {name: third, url: 'http://j:1'}\n"), f.Plan.Dir)
	if c := later.Costs(f.State); c.Requests != 0 || c.There != 6 {
		t.Errorf("%+v", c)
	}
}

// What has all its answers is graded without its servers, which may be gone.
func TestNeedsNoServerForGrading(t *testing.T) {
	a := server(t, "m")
	f := newFixture(t, "models: [m, runs/x/checkpoints/step-000001]\nservers: URL-a\nsets: sums.jsonl\nsampling: {n: 2}\n", map[string]*openaitest.Server{"a": a})
	for _, e := range f.Plan.Evaluations {
		answers(t, e, 6, false)
	}
	f.Plan = plan(t, f.Plan.Spec, f.Plan.Dir)
	a.Close()
	if err := f.Do(t.Context()); err != nil || len(f.w.events) != 4 || len(a.Requests("")) != 0 {
		t.Errorf("%v, events %q", err, f.w.events)
	}
}
