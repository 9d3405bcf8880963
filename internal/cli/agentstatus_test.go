package cli

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

// hosts gives the addresses of a text names that are the same every time.
func hosts(addresses map[string]string) *strings.Replacer {
	var pairs []string
	for name, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			pairs = append(pairs, u.Host, name)
		}
	}
	return strings.NewReplacer(pairs...)
}

// What doctor sees of the agent beside a server: whether it answers, whether the
// token is its own, what it loads into and how; and what stands against it.
func TestDoctorOfAnAgent(t *testing.T) {
	t.Setenv(tokenVariable, "")
	policy, err := filepath.Abs(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	const trainer = "http://127.0.0.1:9"
	token := file(t, "token", agentToken)
	wrong := file(t, "wrong", strings.ToUpper(agentToken))
	vllm := func(version string) func(*testing.T) string {
		return func(t *testing.T) string {
			return openaitest.New(t, openaitest.Options{Vocab: shippedVocab, ModelDir: policy, Version: version}).URL
		}
	}
	beside := func(more ...string) func(*testing.T, string) string {
		return func(t *testing.T, server string) string {
			agent, _ := startAgent(t, append([]string{"--server", server, "--trainer", trainer, "--dir", t.TempDir()}, more...)...)
			return agent
		}
	}
	for _, c := range []struct {
		name   string
		server func(*testing.T) string
		agent  func(t *testing.T, server string) string
		args   []string
		code   int
		says   string
	}{
		{"agent", vllm(""), beside("--token-file", token), []string{"--share-token-file", token}, ExitOK, ""},
		{"agent-without-token", vllm(""), beside(), []string{"--share-token-file", token}, ExitOK, ""},
		{"agent-of-another-token", vllm(""), beside("--token-file", token), []string{"--share-token-file", wrong}, ExitServer, "the agent refuses the token; give that of its own --token-file with --share-token-file FILE or JUSTRL_SHARE_TOKEN"},
		{"agent-of-an-old-vllm", vllm("0.15.1"), beside(), nil, ExitServer, "have the files that it was started with overwritten: justrl agent --sync in-place"},
		{"agent-in-place", vllm("0.15.1"), beside("--sync", "in-place"), nil, ExitOK, ""},
		{"agent-that-is-not-there", vllm(""), func(*testing.T, string) string {
			srv := httptest.NewServer(nil)
			srv.Close()
			return srv.URL
		}, nil, ExitServer, "nothing listens there"},
		{"agent-that-cannot-reach-it", vllm(""), func(t *testing.T, _ string) string {
			return beside()(t, "http://127.0.0.1:9")
		}, nil, ExitServer, "agent http://"},
		{"agent-of-an-sglang", func(t *testing.T) string {
			return sglangtest.New(t, sglangtest.Options{Policy: openaitest.Options{Vocab: shippedVocab, ModelDir: policy}}).URL
		}, beside(), nil, ExitServer, "is no vLLM, and justrl agent loads no other kind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := c.server(t)
			agent := c.agent(t, server)
			args := append([]string{"doctor", "--server", server, "--agent", agent, "--model", policy}, c.args...)
			code, out, errs := run(t, args...)
			if code != c.code || (c.says == "") != (errs == "") || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, want %d; %s", code, c.code, errs)
			}
			if strings.Contains(strings.ToLower(out+errs), agentToken) {
				t.Errorf("the token is shown: %s%s", out, errs)
			}
			hide := hosts(map[string]string{"SERVER": server, "AGENT": agent})
			text := strings.ReplaceAll(hide.Replace(out), filepath.Dir(filepath.Dir(filepath.Dir(policy))), "DIR")
			golden(t, "doctor-"+c.name, hideRandom(text))
			code, out, _ = run(t, append(args, "--json")...)
			var x examined
			if err := json.Unmarshal([]byte(out), &x); err != nil || code != c.code || len(x.Servers) != 1 || x.Servers[0].Agent == nil || x.Servers[0].Agent.URL != agent {
				t.Errorf("exit code %d, %v: %s", code, err, out)
			}
		})
	}
}

// Which server an agent is beside is asked before anything else.
func TestDoctorAgentFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"no such --server":     {"doctor", "--server", "http://a", "--agent", "http://c=http://b"},
		"which server's is it": {"doctor", "--server", "http://a", "--server", "http://b", "--agent", "http://c"},
	} {
		if code, _, stderr := run(t, args...); code != ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// A vLLM that takes no folder by name is refused in one line, as its own files
// would have to be written over, and loaded so where that is allowed.
func TestAgentOfAnOldServer(t *testing.T) {
	t.Setenv(tokenVariable, "")
	want, err := inspector{}.Tensors(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "snapshots")
	listener, err := guard.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	s := &sharing{listener: listener}
	if err := s.start(t.Context(), "run1", root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	snapshots := &bridge.Snapshots{Root: root, Exporter: scaledPolicy(1.5), Inspector: inspector{}, Want: want, Keep: 2}
	snapshot, err := snapshots.Publish(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for way, says := range map[string]string{"auto": "is too old to reload from a folder that is named", "files": "cannot be loaded by justrl agent --sync files", "in-place": ""} {
		t.Run(way, func(t *testing.T) {
			own := t.TempDir()
			if err := os.CopyFS(own, os.DirFS(examplePolicy)); err != nil {
				t.Fatal(err)
			}
			fake := openaitest.New(t, openaitest.Options{Model: "policy", ModelDir: own, Version: "0.15.1"})
			address, _ := startAgent(t, "--server", fake.URL, "--trainer", "http://"+listener.Addr().String(), "--dir", t.TempDir(), "--sync", way)
			e, err := endpoint.New(address, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			at, err := endpoint.New(fake.URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer at.Close()
			direct, err := bridgevllm.New(at, bridgevllm.Options{Model: "policy", Run: "run1", Want: want, Inspector: inspector{}})
			if err != nil {
				t.Fatal(err)
			}
			deployed := &server{name: fake.URL, endpoint: at, control: at, agent: e}
			deployed.cfg.Publish.Sync = config.SyncAuto
			refused := func(err error) bool {
				return err != nil && strings.Contains(err.Error(), says) && !strings.Contains(err.Error(), "\n")
			}
			if f, err := deployed.connect(t.Context(), false); says == "" && (err != nil || f.way != way) || says != "" && !refused(err) {
				t.Errorf("a run's start: by %q, %v, want %q", f.way, err, says)
			}
			p, err := deployed.throughAgent("run1", want, direct)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Load(t.Context(), snapshot)
			if says == "" && err != nil || says != "" && !refused(err) {
				t.Fatalf("%v, want %q", err, says)
			}
			sum, sumErr := inspector{}.SHA256(own)
			if sumErr != nil || (sum == snapshot.SHA256) != (err == nil) {
				t.Errorf("its own folder has %.12s, loaded was %.12s; %v", sum, snapshot.SHA256, sumErr)
			}
		})
	}
}
