package agent

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// killing ends its process once so many bytes of files have come.
type killing struct {
	after *atomic.Int64
	io.ReadCloser
}

func (k killing) Read(b []byte) (int, error) {
	if k.after.Load() <= 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	n, err := k.ReadCloser.Read(b[:min(len(b), chunk/2)])
	k.after.Add(-int64(n))
	return n, err
}

// An agent that is killed in the middle of a pull goes on where it was.
func TestKilledWhilePulling(t *testing.T) {
	const env = "AGENT_TEST_KILLED"
	type job struct {
		URL, Dir string
		Request  Request
	}
	if line := os.Getenv(env); line != "" { // the process that is killed
		var j job
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			t.Fatal(err)
		}
		var left atomic.Int64
		left.Store(20 * chunk)
		p := newPuller(t, j.URL, j.Dir)
		p.trainer = dial(t, j.URL, direct(func(r *http.Request) (*http.Response, error) {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err == nil && r.Header.Get("Range") != "" {
				resp.Body = killing{&left, resp.Body}
			}
			return resp, err
		}))
		_, err := p.pull(t.Context(), j.Request, &counts{})
		t.Fatalf("not killed: %v", err)
	}
	tr := newTrainer(t, chunk)
	want := blobs{"model.safetensors": random(60*chunk+1, 1), "config.json": []byte("{}")}
	s := tr.publish(t, 1, want)
	url, dir := serve(t, tr.share), filepath.Join(t.TempDir(), "agent")
	line, err := json.Marshal(job{url, dir, asked(s)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledWhilePulling$")
	cmd.Env = append(os.Environ(), env+"="+string(line))
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	p := newPuller(t, url, dir) // the lock died with its process
	if places, err := p.folder.complete(); err != nil || len(places) > 0 {
		t.Fatalf("complete: %v, %v", places, err)
	}
	var c counts
	got, err := p.pull(t.Context(), asked(s), &c)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	n := c.pulled()
	if n.Resumed < 10*chunk || n.Resumed+n.Fetched != n.Bytes {
		t.Errorf("%+v: want at least %d resumed, and the rest fetched", n, 10*chunk)
	}
}
