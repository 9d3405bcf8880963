//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/cli"
)

// embeddedArgs is the main job without a server, short.
func embeddedArgs(out string, more ...string) []string {
	return append([]string{"run", "--preset", "tiny-cpu", "--model", policy, "--data", train, "--out", out, "--steps", "3", "--threads", "2",
		"--set", "sampling.batch=8", "--set", "update.mini_batch=4", "--set", "optimizer.warmup_steps=1"}, more...)
}

// TestEmbeddedRunsRepeat: a run is a function of its seed. Neither the
// engine's size nor that of the pool of clients changes a bit of it.
func TestEmbeddedRunsRepeat(t *testing.T) {
	run := func(more ...string) (string, []byte) {
		out := filepath.Join(t.TempDir(), "run")
		must(t, embeddedArgs(out, more...)...)
		return summary(t, out).WeightsSHA256, timeless(t, filepath.Join(out, "steps.jsonl"))
	}
	sum, records := run("--validation", heldOut)
	for name, more := range map[string][]string{
		"again":                        {"--validation", heldOut},
		"another size of the engine":   {"--validation", heldOut, "--set", "engine.sequences=5", "--set", "engine.cache_mib=8"},
		"another number of clients":    {"--validation", heldOut, "--set", "sampling.concurrency=1"},
		"with nothing validated":       nil,
		"both, and one client at most": {"--set", "engine.sequences=17", "--set", "sampling.concurrency=3"},
	} {
		gotSum, gotRecords := run(more...)
		if gotSum != sum {
			t.Errorf("%s: weights %.12s, at first %.12s", name, gotSum, sum)
		}
		if diff := cmp.Diff(string(records), string(gotRecords)); diff != "" {
			t.Errorf("%s: other records (-first +this):\n%s", name, diff)
		}
	}
	if other, _ := run("--seed", "2"); other == sum {
		t.Error("another seed gives the same weights")
	}
}

// timeless is a file of JSON lines without what a clock decides.
func timeless(t *testing.T, path string) []byte {
	t.Helper()
	var out bytes.Buffer
	for line := range bytes.Lines(content(t, path)) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		for key := range v {
			if strings.HasPrefix(key, "timing_s/") || strings.HasPrefix(key, "perf/") {
				delete(v, key)
			}
		}
		b, err := json.Marshal(v) // sorts the keys
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	return out.Bytes()
}

// serving is the line that tells where a server is.
var serving = regexp.MustCompile(`^serving .* on (http://\S+) `)

// embeddedServer runs `justrl serve` until the test ends, and returns its address.
func embeddedServer(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	read, write := io.Pipe()
	var g errgroup.Group
	g.Go(func() error {
		code := cli.Run(ctx, append([]string{"justrl", "serve", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), write, testLog{t})
		_ = write.Close()
		if code != cli.ExitOK {
			return fmt.Errorf("justrl serve: exit code %d", code)
		}
		return nil
	})
	line := make([]byte, 500)
	n, err := read.Read(line)
	t.Cleanup(func() {
		cancel()
		_ = read.Close()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	m := serving.FindSubmatch(line[:n])
	if err != nil || m == nil {
		t.Fatalf("justrl serve says %q (%v)", line[:n], err)
	}
	return string(m[1])
}

// client is a test's own, whose connections end with it.
func client(t *testing.T) *http.Client {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func post(ctx context.Context, c *http.Client, url, body string) (status int, reply []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	reply, err = io.ReadAll(resp.Body)
	return resp.StatusCode, reply, err
}

// TestEmbeddedUnderSiege: two thousand clients, every fourth of which goes
// away, bodies of 10 MB, parameters that make no sense, and ten reloads in the
// middle of it. Whoever is answered has the answer of one set of weights, and
// in the end nothing is left.
func TestEmbeddedUnderSiege(t *testing.T) {
	url := embeddedServer(t, "--model", policy, "--served-model-name", "policy", "--max-model-len", "512", "--kv-cache-mib", "64")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := scaled(1.01).Export(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(policy)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t)
	ask := func(i int) string {
		return fmt.Sprintf(`{"prompt":[%d,7,8,9,%d],"n":2,"max_tokens":40,"temperature":1,"seed":%d,"logprobs":0,"return_token_ids":true,"ignore_eos":true}`, 3+i%250, 3+i%17, i)
	}
	answer := func(i int) string {
		status, reply, err := post(t.Context(), c, url+"/v1/completions", ask(i))
		if err != nil || status != http.StatusOK {
			t.Fatalf("request %d: %d %.300s %v", i, status, reply, err)
		}
		return tokensOf(t, reply)
	}
	load := func(dir string) {
		for _, call := range [][2]string{
			{"/pause?mode=wait", ""}, {"/collective_rpc", `{"method":"reload_weights","kwargs":{"weights_path":` + strconv.Quote(dir) + `}}`}, {"/resume", ""},
		} {
			if status, reply, err := post(t.Context(), c, url+call[0], call[1]); err != nil || status != http.StatusOK {
				t.Errorf("%s: %d %.300s %v", call[0], status, reply, err)
			}
		}
	}
	// What each set of weights answers, asked alone.
	const kinds = 100
	want := map[string][]string{}
	for _, dir := range []string{absolute, other} {
		load(dir)
		for i := range kinds {
			want[dir] = append(want[dir], answer(i))
		}
	}
	if cmp.Equal(want[absolute], want[other]) {
		t.Fatal("the two sets of weights answer alike")
	}
	goroutines, memory := runtime.NumGoroutine(), residentMiB(t)

	const clients = 2000
	var answered, gone, refused int
	var mu sync.Mutex
	var g errgroup.Group
	for i := range clients {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if i%4 == 3 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(3000))*time.Millisecond)
			}
			defer cancel()
			if i%50 == 7 {
				status, reply, err := post(ctx, c, url+"/v1/completions", senseless(i/50))
				if err == nil && (status < 400 || status >= 500 || !json.Valid(reply)) {
					return fmt.Errorf("request %d, which makes no sense: %d %.200s", i, status, reply)
				}
				mu.Lock()
				defer mu.Unlock()
				refused++
				return nil
			}
			status, reply, err := post(ctx, c, url+"/v1/completions", ask(i%kinds))
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				gone++
				return nil
			}
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("request %d: %d %.300s %w", i, status, reply, err)
			}
			answered++
			if got := tokensOf(t, reply); got != want[absolute][i%kinds] && got != want[other][i%kinds] {
				return fmt.Errorf("request %d: the answer is neither set of weights': %s", i, got)
			}
			return nil
		})
	}
	for i := range 10 {
		load([]string{absolute, other}[i%2])
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d answered, %d gone, %d refused", answered, gone, refused)
	if answered < clients/2 || refused == 0 {
		t.Error("too few for a test")
	}
	for i := range kinds { // the last load was of other
		if got := answer(i); got != want[other][i] {
			t.Fatalf("request %d afterwards: %s, want %s", i, got, want[other][i])
		}
	}
	if _, reply, err := post(t.Context(), c, url+"/tokenize", `{"prompt":"1"}`); err != nil || !bytes.Contains(reply, []byte(`"max_model_len":512`)) {
		t.Errorf("it no longer serves: %s %v", reply, err)
	}
	c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for runtime.NumGoroutine() > goroutines+20 && ctx.Err() == nil {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines+20 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if m := residentMiB(t); m > memory+400 {
		t.Errorf("%d MiB resident, %d before", m, memory)
	}
}

// senseless are requests that must be refused, none of which may hurt.
func senseless(i int) string {
	all := []string{
		`{"prompt":"` + strings.Repeat("12 ", 10<<20/3) + `"}`,
		`{"prompt":[` + strings.Repeat("7,", 5<<20) + `7]}`,
		strings.Repeat("[", 10<<20),
		`{"prompt":[7],"max_tokens":-1}`,
		`{"prompt":[7],"max_tokens":99999999999999999999}`,
		`{"prompt":[7],"n":1000000000}`,
		`{"prompt":[7],"n":-1}`,
		`{"prompt":[7],"temperature":-0.1}`,
		`{"prompt":[7],"temperature":1e300}`,
		`{"prompt":[7],"top_p":0}`,
		`{"prompt":[7],"top_k":-7}`,
		`{"prompt":[7],"logprobs":1000000}`,
		`{"prompt":[-7]}`,
		`{"prompt":[7],"stop_token_ids":[-1]}`,
		`{"prompt":[7],"seed":1e400}`,
		`{"prompt":[7],"min_tokens":-5}`,
		`{"prompt":[7],"model":"another"}`,
		`{"prompt":{"a":1}}`,
		"\x00\xff",
	}
	return all[i%len(all)]
}

// tokensOf is the token ids and log-probs of an answer, as text.
func tokensOf(t *testing.T, reply []byte) string {
	t.Helper()
	var v struct {
		Choices []struct {
			TokenIDs []int32 `json:"token_ids"`
			Logprobs struct {
				TokenLogprobs []float64 `json:"token_logprobs"`
			} `json:"logprobs"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(reply, &v); err != nil {
		return err.Error()
	}
	return fmt.Sprint(v.Choices)
}

// residentMiB is this process's resident memory, without what the collector has yet to give back.
func residentMiB(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	fields := strings.Fields(string(content(t, "/proc/self/statm")))
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

// TestServeRefuses: one line, and the right exit code.
func TestServeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no model":           {nil, "--model"},
		"no folder":          {[]string{"--model", "nowhere"}, "nowhere"},
		"no address":         {[]string{"--model", policy, "--listen", "8000"}, "--listen"},
		"an address in use":  {[]string{"--model", policy, "--listen", "192.0.2.1:1", "--api-key", "k123456789abcdef"}, "192.0.2.1:1"},
		"a context too long": {[]string{"--model", policy, "--max-model-len", "100000"}, "max_position_embeddings"},
		"a cache too small":  {[]string{"--model", policy, "--max-model-len", "2048", "--kv-cache-mib", "1"}, "cache"},
		"no samples":         {[]string{"--model", policy, "--max-num-seqs", "0"}, "--max-num-seqs"},
		"a mode of none":     {[]string{"--model", policy, "--logprobs-mode", "raw"}, "--logprobs-mode"},
	} {
		t.Run(name, func(t *testing.T) {
			r := justrl(t.Context(), t, append([]string{"serve"}, c.args...)...)
			if r.code == cli.ExitOK || !strings.Contains(r.lastLine(), c.want) || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
				t.Errorf("exit code %d, stderr %q; want one line with %q", r.code, r.stderr, c.want)
			}
		})
	}
}

// TestEmbeddedKilledRunEndsTheSame: killed at any moment and resumed, a run
// without a server ends with the weights and records of an undisturbed one.
func TestEmbeddedKilledRunEndsTheSame(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	outs := killAndResume(t, kills(t), 2, whole, func(out string, resume bool) *exec.Cmd {
		if resume {
			return process(t, "run", "--resume", "--out", out)
		}
		return process(t, embeddedArgs(out, "--validation", heldOut, "--steps", "5", "--set", "checkpoint.every=2", "--set", "engine.sequences=1", "--set", "sampling.concurrency=2")...)
	})
	for _, out := range outs {
		sameRun(t, whole, out, 5)
		everyRowOnce(t, out, 5, 8)
	}
}

// TestEmbeddedReplay: a recorded step, trained again without the server that it was sampled from.
func TestEmbeddedReplay(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	must(t, embeddedArgs(out)...)
	for step := range 3 {
		if r := must(t, "replay", out, "--step", strconv.Itoa(step)); !strings.Contains(r.stdout, "the same") {
			t.Errorf("step %d: %s", step, r.stdout)
		}
	}
}
