package dashboard

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/journal"
)

// pipes is a listener whose clients are in this process: what nobody reads is held
// nowhere between.
type pipes struct {
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done.Done():
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.close()
	return nil
}

func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// served serves a run as internal/cli does, in a bubble of synctest. dial connects,
// sends a text and returns the connection, which may or may not be read.
func served(t *testing.T, s *Server) (dial func(sent string) net.Conn) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := pipes{conns: make(chan net.Conn)}
	l.done, l.close = context.WithCancel(context.Background())
	var all errgroup.Group
	all.Go(func() error { return guard.Serve(ctx, l, guard.Options{Handler: s}) })
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			_ = c.Close()
		}
		stop()
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
	})
	return func(sent string) net.Conn {
		ours, theirs := net.Pipe()
		open = append(open, ours)
		l.conns <- theirs
		all.Go(func() error {
			_, _ = io.WriteString(ours, sent) // all of it, unless it is hung up
			return nil
		})
		return ours
	}
}

// status is what a request without a body is answered with.
func status(t *testing.T, conn net.Conn) int {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // which would wait for a stream's end
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

const asks = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Who does not read what he asked for, or does not send what he promised, without
// the token or with it, keeps others from the page for a while and no longer.
func TestStalledReaders(t *testing.T) {
	for name, c := range map[string]struct{ token, sent string }{
		"the report":                   {"", fmt.Sprintf(asks, "/report.html")},
		"curves":                       {"", fmt.Sprintf(asks, "/api/curves")},
		"a script, without the token":  {secret, fmt.Sprintf(asks, "/assets/page.js")},
		"a script, with half a body":   {secret, "GET /assets/page.js HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"},
		"a token that is never given":  {secret, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ntoken="},
		"a token that is given slowly": {secret, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ntoken=\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fixture(t, dir, 30, 40)
			synctest.Test(t, func(t *testing.T) {
				_, s := looked(dir, 30, 40, c.token)
				dial := served(t, s)
				for range 64 {
					dial(c.sent)
				}
				synctest.Wait()
				if got := status(t, dial(fmt.Sprintf(asks, "/healthz"))); got != http.StatusServiceUnavailable {
					t.Fatalf("64 of them hold nothing: %d", got)
				}
				time.Sleep(patience + time.Second)
				if got := status(t, dial(fmt.Sprintf(asks, "/healthz"))); got != http.StatusOK {
					t.Errorf("%d after %s", got, patience)
				}
			})
		})
	}
}

// A follower that stops reading is let go, and the run and the other followers go on meanwhile.
func TestStalledFollower(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	synctest.Test(t, func(t *testing.T) {
		p, s := looked(dir, 3, 9, "")
		dial := served(t, s)
		following := func() int {
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.clients)
		}
		for range 10 {
			dial(fmt.Sprintf(asks, "/api/live"))
		}
		reads := dial(fmt.Sprintf(asks, "/api/live"))
		lines := bufio.NewScanner(reads)
		heard := func(what string) {
			for lines.Scan() {
				if strings.Contains(lines.Text(), what) {
					return
				}
			}
			t.Fatalf("the stream ended without %s: %v", what, lines.Err())
		}
		heard(`"step":2`)
		if n := following(); n != 11 {
			t.Fatalf("%d follow", n)
		}
		began := time.Now()
		for step := range 1000 {
			p.Phase(step, "sample")
			p.Rollout(1)
			p.StepDone(fixtureStep(step, 9), 9)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the run waited %s for who does not read", took)
		}
		heard(`"step":999`)
		time.Sleep(p.patience - time.Since(began) + time.Second)
		_ = reads.Close()
		if n := following(); n > 1 {
			t.Errorf("%d follow still", n)
		}
	})
}

// Ten followers, who came at different times, cost what one does: the servers are
// looked at, and the files, about twice a second.
func TestFollowersShare(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	looks := func(followers int) (n int64) {
		synctest.Test(t, func(t *testing.T) {
			p, s := looked(dir, 3, 9, "")
			var asked atomic.Int64
			p.Servers = func() []Member {
				asked.Add(1)
				return members()
			}
			dial := served(t, s)
			var all errgroup.Group
			for range followers {
				c := dial(fmt.Sprintf(asks, "/api/live"))
				all.Go(func() error {
					_, err := io.Copy(io.Discard, c)
					return err
				})
				t.Cleanup(func() { _ = c.Close() })
				time.Sleep(73 * time.Millisecond)
			}
			asked.Store(0)
			for range 600 { // and the run goes on
				p.Rollout(1)
				time.Sleep(100 * time.Millisecond)
			}
			n = asked.Load()
		})
		return n
	}
	if one, ten := looks(1), looks(10); one < 50 || float64(ten) > 1.3*float64(one) {
		t.Errorf("a follower has the run looked at %d times a minute, and ten %d times", one, ten)
	}
}

// Hundreds may want to follow: so many do, and each of the others is told at once, and what the run does.
func TestHundredsOfFollowers(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	synctest.Test(t, func(t *testing.T) {
		p, s := looked(dir, 3, 9, "")
		dial := served(t, s)
		counts := map[int]int{}
		for range 300 {
			counts[status(t, dial(fmt.Sprintf(asks, "/api/live")))]++
		}
		if counts[200] != mostClients || counts[503] != 300-mostClients {
			t.Errorf("%v", counts)
		}
		p.Phase(7, "sample")
		for range 300 {
			if got := status(t, dial(fmt.Sprintf(asks, "/api/state"))); got != 200 {
				t.Fatalf("the state: %d", got)
			}
		}
	})
}

// A page of another origin may link to the run, and no more.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 3, 9)
	_, s := looked(dir, 3, 9, "")
	for _, c := range []struct {
		name, site, mode, dest, path string
		want                         int
	}{
		{"a program", "", "", "", "/api/state", 200},
		{"an address that is typed", "none", "navigate", "document", "/", 200},
		{"the page's own", "same-origin", "cors", "empty", "/api/state", 200},
		{"a link of elsewhere", "cross-site", "navigate", "document", "/", 200},
		{"an image of elsewhere", "cross-site", "no-cors", "image", "/report.html", 403},
		{"a frame of elsewhere", "cross-site", "navigate", "iframe", "/report.html", 403},
		{"a stream for another port", "same-site", "cors", "empty", "/api/live", 403},
		{"a script for another port", "same-site", "no-cors", "script", "/api/curves", 403},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		r.Host = "localhost:8501"
		for key, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.dest} {
			if value != "" {
				r.Header.Set(key, value)
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d, want %d; %v", c.name, w.Code, c.want, w.Header())
		}
	}
}

// What cannot be read is named, and the rest is shown.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir, 30, 40)
	_, s := looked(dir, 30, 40, "")
	path := journal.RolloutsPath(dir, 29)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, b[:len(b)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(t, s, "/api/rollouts"); w.Code != 500 || !strings.Contains(w.Body.String(), "step-000029.parquet") {
		t.Errorf("half a file of rollouts: %d %s", w.Code, w.Body)
	}
	if w := ask(t, s, "/api/rollouts?step=28"); w.Code != 200 || strings.Contains(w.Body.String(), `"excerpt":null`) {
		t.Errorf("a whole one beside it: %d %s", w.Code, w.Body)
	}
	f, err := os.OpenFile(journal.StepsPath(dir), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"step":30,"critic/sc`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(t, s, "/api/curves"); w.Code != 200 || !strings.Contains(w.Body.String(), `"to":30`) {
		t.Errorf("half a step: %d %.300s", w.Code, w.Body)
	}
	if _, err := f.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if w := ask(t, s, "/api/curves"); w.Code != 500 || !strings.Contains(w.Body.String(), "steps.jsonl:31") {
		t.Errorf("a torn step: %d %.300s", w.Code, w.Body)
	}
}
