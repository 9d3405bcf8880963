package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/dashboard"
	"github.com/justrl/justrl/orchestrator/journal"
)

// follower is the page of the steps that are written once more, served as a run
// serves its own, and what a browser that follows it does: it reads the stream, and
// asks for what is new with each step. What that takes of the client's side, which
// in truth is another program's, counts too.
type follower struct {
	dir    string
	page   *dashboard.Page
	base   string
	client *http.Client
	states chan state
	stop   context.CancelFunc
	work   errgroup.Group // ends with stop
	steps  int            // that the browser has
}

// state is what it takes of what it is sent.
type state struct {
	Phase string           `json:"phase"`
	Batch int              `json:"batch"`
	Files map[string]int64 `json:"files"`
}

// follow begins with nothing recorded. The caller closes it.
func follow(ctx context.Context, dir string, info journal.Info) (f *follower, err error) {
	ctx, stop := context.WithCancel(ctx)
	f = &follower{dir: dir, client: &http.Client{}, states: make(chan state, 1), stop: stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	f.page = dashboard.NewPage(dashboard.Options{Dir: dir, Info: info, Sizes: map[string]int64{"sample": 1}, Servers: func() []dashboard.Member {
		return []dashboard.Member{{Name: "embedded", Since: info.Started, Limit: 1}}
	}})
	server := dashboard.New("")
	f.page.On(server)
	l, err := guard.Listen(ctx, net.JoinHostPort("127.0.0.1", "0"), false)
	if err != nil {
		return f, err
	}
	f.work.Go(func() error { return guard.Serve(ctx, l, guard.Options{Handler: server}) })
	f.base = "http://" + l.Addr().String()
	live, err := f.ask(ctx, "/api/live")
	if err != nil {
		return f, err
	}
	f.work.Go(func() error {
		defer close(f.states)
		defer live.Close() //nolint:errcheck // it was read
		return f.read(ctx, live)
	})
	return f, nil
}

func (f *follower) close() error {
	f.stop()
	err := f.work.Wait()
	f.client.CloseIdleConnections()
	return err
}

// ask asks for a path; the caller closes what it is answered with.
func (f *follower) ask(ctx context.Context, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", path, resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// read passes on what the stream says until ctx ends.
func (f *follower) read(ctx context.Context, stream io.Reader) error {
	for lines := bufio.NewReader(stream); ; {
		line, err := lines.ReadString('\n')
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the page's stream: %w", err)
		}
		text, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var m struct{ State state }
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return fmt.Errorf("the page's stream: %w", err)
		}
		select {
		case f.states <- m.State:
		case <-ctx.Done():
			return nil
		}
	}
}

// await reads the stream until it says so.
func (f *follower) await(so func(state) bool) error {
	for s := range f.states {
		if so(s) {
			return nil
		}
	}
	return errors.New("the page's stream ended")
}

// streamed tells the page of a step, which is recorded already, as a run does, and
// reads what it says: at least two states for each second that the step took.
func (f *follower) streamed(step journal.Step, rollouts []journal.Rollout) error {
	states := max(1, int(math.Ceil(2*step.Total)))
	for n := range states {
		f.page.Phase(step.Step, "sample") // another batch, which is told at once
		for _, r := range rollouts[n*len(rollouts)/states : (n+1)*len(rollouts)/states] {
			f.page.Rollout(len(r.TokenIDs))
		}
		if err := f.await(func(s state) bool { return s.Phase == "sample" && s.Batch == n+1 }); err != nil {
			return err
		}
	}
	f.page.Phase(step.Step, "update")
	f.page.Phase(step.Step, "publish")
	f.page.StepDone(step, step.Step+1)
	recorded, err := os.Stat(journal.StepsPath(f.dir))
	if err != nil {
		return err
	}
	return f.await(func(s state) bool { return s.Phase == "publish" && s.Files["steps"] == recorded.Size() })
}

// fetched asks for what a step has changed: the curves' new points, the newest
// rollouts ("follow the run"), and the events.
func (f *follower) fetched(ctx context.Context) error {
	for _, path := range []string{"/api/curves?after=" + strconv.Itoa(f.steps), "/api/rollouts", "/api/events"} {
		body, err := f.ask(ctx, path)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%s: nothing was answered", path)
		}
	}
	f.steps++
	return nil
}
