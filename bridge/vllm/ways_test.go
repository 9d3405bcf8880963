package vllm

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
)

// Every vLLM is loaded in the way that Ways puts first, and in each of the others.
func TestEveryVersionIsLoaded(t *testing.T) {
	for _, c := range []struct {
		version, engine string
		docs            bool
		want            []string
	}{
		{"0.15.1", "", true, []string{WayInPlace}},
		{"0.18.1", "", true, []string{WayFiles, WayInPlace}},
		{"0.22.1", "", true, []string{WayFiles, WayInPlace}},
		{"0.26.0", "", true, []string{WayFiles, WayInPlace}},
		{"0.30.0", "", true, []string{WayFiles, WayInPlace}},
		{"0.32.0+cpu", "", true, []string{WayFiles, WayInPlace}},
		{"0.18.1", tcpEngine, true, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.22.1", tcpEngine, true, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.26.0", tcpEngine, true, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.30.0", tcpEngine, true, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.32.0", tcpEngine, true, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.32.0", ncclEngine, true, []string{WayFiles, WayInPlace}},
		{"0.32.0", "IPCWeightTransferEngine", true, []string{WayFiles, WayInPlace}},
		{"0.15.1", "", false, []string{WayInPlace}},
		{"0.22.1", tcpEngine, false, []string{WayTransfer, WayFiles, WayInPlace}},
		{"0.32.0", tcpEngine, false, []string{WayTransfer, WayFiles, WayInPlace}},
	} {
		t.Run(fmt.Sprintf("%s %s docs %t", c.version, c.engine, c.docs), func(t *testing.T) {
			b := bridgetest.Build{Version: c.version, Engine: c.engine, Root: exported(t, theta0)}
			r := newRigOf(t, b, "")
			r.Set(bridgetest.Faults{NoDocs: !c.docs})
			ways, err := Ways(t.Context(), r.endpoint(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, ways); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
			if r.Model().Theta != theta0.Theta || r.Paused() {
				t.Error("asking changed something")
			}
			for i, sync := range append([]string{""}, ways...) {
				version, want := int64(i+1), theta0.Moved(0.1*float64(i+1))
				if err := r.newPublisher(t, sync).Load(t.Context(), r.publish(t, version, want)); err != nil {
					t.Fatalf("--sync %q: %v", sync, err)
				}
				if r.Model().Theta != want.Theta || r.Paused() {
					t.Errorf("--sync %q: serves %v, paused %t", sync, r.Model(), r.Paused())
				}
				if _, err := r.scorer().Score(t.Context(), bridgetest.Probes()); err != nil {
					t.Errorf("--sync %q: %v", sync, err)
				}
			}
			if n := r.RudePauses(); n > 0 {
				t.Errorf("%d pauses would have aborted other people's requests", n)
			}
		})
	}
}

func TestWaysOfAServerWithoutDevMode(t *testing.T) {
	r := newRig(t)
	r.Set(bridgetest.Faults{NoDevMode: true})
	if ways, err := Ways(t.Context(), r.endpoint(t)); len(ways) > 0 || err != nil {
		t.Errorf("%v, %v", ways, err)
	}
}

// What is forced and cannot be is said in one line, and nothing is touched.
func TestSyncThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name  string
		build bridgetest.Build
		sync  string
		want  string
	}{
		{"a folder that is named, on an old one", bridgetest.Build{Version: "0.15.1"}, WayFiles, "is too old to reload from a folder that is named: use --sync in-place, or vLLM 0.18 or later"},
		{"a transfer, without an end", bridgetest.Newest, WayTransfer, `with scripts/vllm-plugin on its PYTHONPATH and --weight-transfer-config '{"backend":"justrl_tcp"}'`},
		{"a transfer, with another end", bridgetest.Build{Version: "0.32.0", Engine: ncclEngine}, WayTransfer, "was not started for --sync transfer"},
		{"in place, and it does not say where", bridgetest.Newest, WayInPlace, "which is no folder here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRigOf(t, c.build, c.sync)
			err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1)))
			if !errors.Is(err, bridge.ErrUnsupported) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if r.Paused() || r.Model().Theta != theta0.Theta {
				t.Errorf("paused %t, serves %v", r.Paused(), r.Model())
			}
		})
	}
}

func TestNewRefusesASync(t *testing.T) {
	r := newRig(t)
	for sync, want := range map[string]string{
		"carrier-pigeon": "--sync carrier-pigeon: a vLLM is loaded by files, in-place, transfer or nccl",
		WayNCCL:          "--sync nccl needs a GPU and NCCL in the trainer",
	} {
		if _, err := New(r.endpoint(t), r.options(sync)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sync, err)
		}
	}
	o := r.options(WayTransfer)
	o.Open = nil
	if _, err := New(r.endpoint(t), o); err == nil || !strings.Contains(err.Error(), "needs Open") {
		t.Errorf("without Open: %v", err)
	}
}

// A transfer that a server on another machine could not fetch is not chosen.
func TestTransferFromAnotherMachine(t *testing.T) {
	for _, c := range []struct{ url, listen, want string }{
		{"http://127.0.0.1:8000", "", "transfer"}, {"http://localhost:8000", "", "transfer"}, {"http://[::1]:8000", "", "transfer"},
		{"http://gpu7:8000", "", "files"}, {"http://10.0.0.7:8000", "", "files"}, {"http://gpu7:8000", "10.0.0.1", "transfer"},
	} {
		e, err := endpoint.New(c.url, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := (&rig{}).options("")
		o.Listen = c.listen
		p, err := New(e, o)
		if err != nil {
			t.Fatal(err)
		}
		f := features{version: version{0, 32}, engine: tcpEngine}
		w, err := p.wayOf(f)
		if _, transfers := w.(*transfer); err != nil || transfers != (c.want == "transfer") {
			t.Errorf("%s, listening at %q: %T, %v", c.url, c.listen, w, err)
		}
		p.o.Sync = WayTransfer
		if _, err := p.wayOf(f); (err == nil) != (c.want == "transfer") {
			t.Errorf("%s, listening at %q, forced: %v", c.url, c.listen, err)
		}
	}
}

// A server that comes back as another version is asked again.
func TestARestartedServerIsAskedAgain(t *testing.T) {
	r := newRig(t)
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
		t.Fatal(err)
	}
	r.Restart(theta0)
	if err := r.publisher.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2))); err == nil {
		t.Fatal("the restart was not noticed")
	}
	r.Requests()
	if err := r.publisher.Load(t.Context(), r.publish(t, 3, theta0.Moved(0.3))); err != nil {
		t.Fatal(err)
	}
	if asked := r.Requests(); len(asked) == 0 || asked[0] != "GET /version" {
		t.Errorf("asked %v", asked)
	}
}

// FuzzProbe: whatever a server says of itself, a pause is asked of it.
func FuzzProbe(f *testing.F) {
	f.Add(`{"version":"0.32.0"}`, `{"paths":{"/pause":{"post":{"parameters":[{"name":"mode","in":"query"}]}},"/init_weight_transfer_engine":{}}}`, "Invalid init_info for TCPWeightTransferEngine: missing")
	f.Add(`{"version":"0.15.1"}`, `{}`, "init_info for ")
	f.Add(`{"version":"-1.x"}`, `[]`, "")
	f.Fuzz(func(t *testing.T, said, docs, refusal string) {
		e, err := endpoint.New("http://fake", endpoint.Options{Transport: transport(func(r *http.Request) (*http.Response, error) {
			reply := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r}
			body := said
			switch r.URL.Path {
			case "/openapi.json":
				body = docs
			case initRoute:
				body, reply.StatusCode = refusal, http.StatusInternalServerError
			}
			reply.Body = io.NopCloser(strings.NewReader(body))
			return reply, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		found, err := probe(t.Context(), e)
		if err != nil {
			return
		}
		if target := found.pauseTarget(); !strings.HasPrefix(target, "/pause?clear_cache=true") {
			t.Errorf("pause by %s", target)
		}
		if ways := found.ways(); ways[len(ways)-1] != WayInPlace {
			t.Errorf("ways %v", ways)
		}
	})
}
