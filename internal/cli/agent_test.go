package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/agent"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

const (
	examplePolicy = "../../examples/arithmetic/policy"
	agentToken    = "c0ffee00c0ffee00c0ffee00c0ffee00"
)

// Nothing of ours listens for other machines without a token.
func TestListenersNeedATokenBeyondLoopback(t *testing.T) {
	t.Setenv(tokenVariable, "")
	runArgs := []string{"run", "--server", "http://127.0.0.1:1", "--preset", "tiny-cpu", "--model", examplePolicy, "--data", "../../examples/arithmetic/train.jsonl"}
	agentArgs := []string{"agent", "--server", "http://127.0.0.1:1", "--trainer", "http://127.0.0.1:1"}
	for name, args := range map[string][]string{
		"run --share":           append(slices.Clone(runArgs), "--share", "0.0.0.0:0"),
		"run --share, IPv6":     append(slices.Clone(runArgs), "--share", "[::]:0"),
		"run --share, any":      append(slices.Clone(runArgs), "--share", ":0"),
		"run --set publish":     append(slices.Clone(runArgs), "--set", "publish.share=0.0.0.0:0"),
		"agent":                 append(slices.Clone(agentArgs), "--listen", "0.0.0.0:0"),
		"agent, a name":         append(slices.Clone(agentArgs), "--listen", "example.org:0"),
		"serve":                 {"serve", "--model", examplePolicy, "--listen", "0.0.0.0:0"},
		"serve, a short key":    {"serve", "--model", examplePolicy, "--listen", "0.0.0.0:0", "--api-key", "hunter2"},
		"agent, a short token":  append(slices.Clone(agentArgs), "--listen", "0.0.0.0:0", "--token-file", file(t, "token", "hunter2")),
		"agent, an empty token": append(slices.Clone(agentArgs), "--listen", "0.0.0.0:0", "--token-file", file(t, "token", "\n")),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			switch args[0] {
			case "run":
				args = append(args, "--out", dir)
			case "agent":
				args = append(args, "--dir", dir)
			}
			code, stdout, stderr := run(t, args...)
			if code != ExitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "token") || strings.Contains(stderr, "hunter2") {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}

func TestAgentFlags(t *testing.T) {
	base := []string{"run", "--preset", "tiny-cpu", "--model", "m", "--data", "d", "--out", "o"}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"an agent and no share", append(slices.Clone(base), "--server", "http://a", "--agent", "http://b"), "--share"},
		{"an agent of the embedded server", append(slices.Clone(base), "--share", "127.0.0.1:0", "--agent", "http://b"), "embedded"},
		{"an agent of nobody", append(slices.Clone(base), "--server", "http://a", "--share", "127.0.0.1:0", "--agent", "http://c=http://b"), "no such --server"},
		{"two agents of one", append(slices.Clone(base), "--server", "http://a", "--share", "127.0.0.1:0", "--agent", "http://a/=http://b", "--agent", "http://c"), "has two"},
		{"no port", append(slices.Clone(base), "--server", "http://a", "--share", "127.0.0.1"), "HOST:PORT"},
		{"keep 1", []string{"agent", "--server", "http://a", "--trainer", "http://b", "--dir", "d", "--keep", "1"}, "at least 2"},
		{"no trainer", []string{"agent", "--server", "http://a", "--dir", "d"}, "--trainer"},
		{"a key without a certificate", []string{"agent", "--server", "http://a", "--trainer", "http://b", "--dir", "d", "--key", "k"}, "certificate"},
		{"a password in the address", []string{"agent", "--server", "http://a", "--trainer", "http://u:secret@b", "--dir", "d"}, "--trainer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := run(t, c.args...)
			if code != ExitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "secret") {
				t.Errorf("exit code %d, stderr %q, want %q", code, stderr, c.want)
			}
		})
	}
}

// spoken is a writer that tells when a line has come.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
	said chan string
}

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	select {
	case s.said <- string(b):
	default:
	}
	return len(b), nil
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// startAgent runs justrl agent until the test ends; log is what it has said.
func startAgent(t *testing.T, args ...string) (url string, log *spoken) {
	t.Helper()
	log = &spoken{said: make(chan string, 1)}
	ctx, stop := context.WithCancel(context.Background())
	var pool errgroup.Group
	var code int
	ended := make(chan struct{})
	pool.Go(func() error {
		defer close(ended)
		code = Run(ctx, append([]string{"justrl", "agent", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), log, log)
		return nil
	})
	t.Cleanup(func() {
		stop()
		_ = pool.Wait() // it returns nil
		if code != ExitOK {
			t.Errorf("the agent ended with %d: %s", code, log)
		}
	})
	select {
	case line := <-log.said:
		return regexp.MustCompile(` on (http://127\.0\.0\.1:\d+), `).FindStringSubmatch(line)[1], log
	case <-ended:
		t.Fatalf("the agent has ended: %s", log)
	}
	return "", nil
}

// exported is an exporter of a folder's files.
type exported struct{ dir string }

func (e exported) Export(_ context.Context, dir string) error { return os.CopyFS(dir, os.DirFS(e.dir)) }

// A snapshot of a trainer goes through run's share and justrl agent into a
// server that reads the agent's folder; the token is nowhere but in its file.
func TestAgentLoads(t *testing.T) {
	t.Setenv(tokenVariable, "")
	fakes := []*openaitest.Server{openaitest.New(t, openaitest.Options{Model: "policy"}), openaitest.New(t, openaitest.Options{Model: "policy"})}
	tokenFile := file(t, "token", agentToken+"\n")
	root := filepath.Join(t.TempDir(), "snapshots")
	listener, err := guard.Listen(t.Context(), "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	s := &sharing{listener: listener, token: agentToken}
	if err := s.start(t.Context(), "run1", root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	want, err := inspector{}.Tensors(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	snapshots := &bridge.Snapshots{Root: root, Exporter: exported{examplePolicy}, Inspector: inspector{}, Want: want, Keep: 2}
	place := t.TempDir()
	var logs []*spoken
	var publishers []*agent.Publisher
	for i, fake := range fakes {
		dir := filepath.Join(place, string(rune('a'+i)))
		url, log := startAgent(t, "--server", fake.URL, "--trainer", "http://"+listener.Addr().String(), "--dir", dir, "--token-file", tokenFile)
		logs = append(logs, log)
		address, err := endpoint.New(fake.URL, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer address.Close()
		e, err := endpoint.New(url, endpoint.Options{APIKey: agentToken})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		direct, err := bridgevllm.New(address, bridgevllm.Options{Model: "policy", Run: "run1", Want: want, Inspector: inspector{}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&server{name: fake.URL, agent: e}).throughAgent("run1", want, direct)
		if err != nil {
			t.Fatal(err)
		}
		publishers = append(publishers, p.(*agent.Publisher))
		stranger, err := endpoint.New(url, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if _, err := agent.AskStatus(t.Context(), stranger); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("without a token: %v", err)
		}
	}
	for version := range int64(3) {
		snapshot, err := snapshots.Publish(t.Context(), version+1, int(version))
		if err != nil {
			t.Fatal(err)
		}
		var pool errgroup.Group
		for _, p := range publishers {
			pool.Go(func() error { return p.Load(t.Context(), snapshot) })
		}
		if err := pool.Wait(); err != nil {
			t.Fatal(err)
		}
		for i, p := range publishers {
			r := p.Last()
			if own := filepath.Join(place, string(rune('a'+i))); !strings.HasPrefix(r.Dir, own+"/") || r.Pull.Bytes < 1<<20 || (version == 0) != (r.Pull.Fetched > 0) {
				t.Errorf("version %d, server %d: %+v", snapshot.Version, i, r)
			}
			e, err := endpoint.New(fakes[i].URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			info, err := vllm.Probe(t.Context(), e, "policy", probing)
			e.Close()
			if err != nil || info.WeightVersion != "run1-"+string(rune('0'+snapshot.Version)) {
				t.Errorf("server %d shows %q, %v", i, info.WeightVersion, err)
			}
			if err := p.StillLive(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	err = filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(agentToken)) {
			t.Errorf("%s has the token", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, log := range logs {
		if text := log.String(); strings.Contains(text, agentToken) || strings.Count(text, "loaded in") != 3 {
			t.Errorf("the agent said:\n%s", text)
		}
	}
}

// The files of the model that a server was started with are the user's: an
// agent leaves them alone, also where it knows no other way to load weights.
func TestAgentsLeaveTheServersModelAlone(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own")
	if err := os.CopyFS(own, os.DirFS(examplePolicy)); err != nil {
		t.Fatal(err)
	}
	before, err := openaitest.HashWeights(own)
	if err != nil {
		t.Fatal(err)
	}
	fake := openaitest.New(t, openaitest.Options{ModelDir: own, Version: "0.15.0"})
	want, err := inspector{}.Tensors(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	snapshots := &bridge.Snapshots{Root: t.TempDir(), Exporter: exported{otherWeights(t)}, Inspector: inspector{}, Want: want, Keep: 2}
	s, err := snapshots.Publish(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := keyless(t, fake.URL)
	look := func(ctx context.Context) (string, error) { return besideWay(ctx, server, config.SyncAuto) }
	p, err := beside(server, "", look)(t.Context(), "run1", s)
	if err == nil {
		err = p.Load(t.Context(), s)
	}
	if !errors.Is(err, bridge.ErrUnsupported) || !strings.Contains(err.Error(), "use vLLM 0.18 or later") {
		t.Errorf("a load into an old vLLM: %v", err)
	}
	if after, err := openaitest.HashWeights(own); err != nil || after != before {
		t.Errorf("the server's own model was changed, %v", err)
	}
}

// otherWeights is the example's policy with another last byte.
func otherWeights(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(examplePolicy)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What answers at an agent's address and is none is told as such, and whose it is to be.
func TestNoAgentThere(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/json/v1/status" {
			_, _ = w.Write([]byte("{}"))
			return
		}
		_, _ = w.Write([]byte("<html>"))
	}))
	defer web.Close()
	fake := openaitest.New(t, openaitest.Options{})
	for name, url := range map[string]string{"a page": web.URL, "JSON": web.URL + "/json", "the server itself": fake.URL} {
		t.Run(name, func(t *testing.T) {
			s := &server{name: fake.URL, agent: keyless(t, url)}
			_, err := s.reached(t.Context(), sampler.Info{})
			if err == nil || !strings.Contains(err.Error(), "the agent of "+fake.URL+": GET "+url+"/v1/status: bad reply: what answers there is no justrl agent") || !isServerError(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}
