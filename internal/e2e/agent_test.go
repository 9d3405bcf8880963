//go:build torch

package e2e

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/sampler/openaitest"
)

// A run whose server reads nothing of the trainer's: an agent fetches every
// snapshot into a folder of its own, and the weights that the server scores
// with are those of that folder.
func TestRunThroughAnAgent(t *testing.T) {
	const secret = "5ec2e75ec2e75ec2e75ec2e75ec2e7ff"
	token := write(t, filepath.Join(t.TempDir(), "token"), secret+"\n")
	own := filepath.Join(t.TempDir(), "agent")
	var mu sync.Mutex
	loaded := map[string]bool{}
	server := scripted(t, func(o *openaitest.Options) {
		score := o.Logprobs
		o.Logprobs = func(dir string, ids []int32) []float32 {
			mu.Lock()
			loaded[dir] = true
			mu.Unlock()
			return score(dir, ids)
		}
	})
	share, listen := freeAddress(t), freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var said bytes.Buffer
	var agent errgroup.Group
	agent.Go(func() error {
		out := &firstWrite{then: sync.OnceFunc(func() { close(ready) }), to: &said}
		args := []string{"justrl", "agent", "--listen", listen, "--dir", own, "--server", server.URL, "--trainer", "http://" + share, "--token-file", token}
		if code := cli.Run(ctx, args, strings.NewReader(""), out, io.MultiWriter(&said, testLog{t})); code != cli.ExitOK {
			t.Errorf("the agent ended with %d", code)
			out.then()
		}
		return nil
	})
	<-ready
	run := filepath.Join(t.TempDir(), "run")
	must(t, small(server, run, "--steps", "3", "--share", share, "--agent", "http://"+listen, "--share-token-file", token)...)
	stop()
	_ = agent.Wait() // it returns nil
	for _, step := range steps(t, run, 3) {
		if !step.Canary.Passed || step.RatioMax > 1.0001 {
			t.Errorf("step %d: canary %+v, mismatch %+v", step.Step, step.Canary, step.Mismatch)
		}
	}
	for dir := range loaded {
		if dir != policy && !strings.HasPrefix(dir, own+string(filepath.Separator)) {
			t.Errorf("the server loaded %s, which is not in the agent's folder", dir)
		}
	}
	if len(loaded) < 4 {
		t.Errorf("loaded: %v", loaded)
	}
	for _, dir := range []string{run, own} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s has the token", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(said.String(), secret) {
		t.Error("the agent told the token")
	}
}

// firstWrite tells when something is written.
type firstWrite struct {
	then func()
	to   io.Writer
}

func (w *firstWrite) Write(b []byte) (int, error) {
	defer w.then()
	return w.to.Write(b)
}

// freeAddress is a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
