package hub

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// process is this test binary as a process that fetches org/name/a.bin.
func (f *fakeHub) process(t *testing.T, cache string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	_ = f.requests() // locks, as requests do before they read what the test has set
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "JUSTRL_HUB_FETCH=org/name/a.bin", "HF_ENDPOINT="+f.hub.URL, "HF_HUB_CACHE="+cache, "HF_TOKEN=", "HF_HUB_OFFLINE=")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, stderr
}

// Two processes that want one file fetch it once.
func TestTwoProcesses(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(2 << 20)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	cache := t.TempDir()
	heads, both := 0, make(chan struct{})
	f.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodHead:
			f.mu.Lock()
			if heads++; heads == 2 {
				close(both)
			}
			f.mu.Unlock()
		case strings.HasPrefix(r.URL.Path, "/blob/"):
			<-both // nobody is done before the other has begun
		}
		return false
	})
	one, out1, err1 := f.process(t, cache)
	two, out2, err2 := f.process(t, cache)
	for _, p := range []*exec.Cmd{one, two} {
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %s%s", err, err1, err2)
		}
	}
	if out1.String() != out2.String() || out1.Len() == 0 {
		t.Fatalf("they have %q and %q", out1, out2)
	}
	wantFile(t, strings.TrimSpace(out1.String()), body)
	if got := f.requests("GET cdn"); len(got) != 1 {
		t.Errorf("fetched %q", got)
	}
	if !strings.Contains(err1.String()+err2.String(), "waiting for another process") {
		t.Errorf("nobody said that it waits: %s%s", err1, err2)
	}
}

// A process that is killed leaves its part, no lock and no blob; the next goes on.
func TestKilled(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(2 << 20)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	cache := t.TempDir()
	sent, dead := make(chan struct{}), make(chan struct{})
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/blob/") {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:1<<20])
		_ = http.NewResponseController(w).Flush()
		close(sent)
		<-dead
		return true
	})
	first, _, _ := f.process(t, cache)
	<-sent
	c := f.client(t, Options{Cache: cache})
	partial := c.repo(ref("")) + "/blobs/" + sha256Of(body) + ".incomplete"
	for { // until some of it is on the disk
		if info, err := os.Stat(partial); err == nil && info.Size() > 100_000 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("nothing came")
		}
	}
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed
	close(dead)
	info, err := os.Stat(partial)
	if err != nil {
		t.Fatal(err)
	}
	f.setFault(nil)
	f.forget()
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, body)
	if got := f.requests("GET cdn"); len(got) != 1 || !strings.HasSuffix(got[0], "bytes="+strconv.FormatInt(info.Size(), 10)+"-") {
		t.Errorf("asked %q, want the rest from %d", got, info.Size())
	}
}
