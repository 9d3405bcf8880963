//go:build torch && vllm

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A bfloat16 model in shards, trained by a step and exported: a vLLM of its own
// loads the folder as it is, and gives the log-probs that justrl gives. (It is
// not among the VLLM tests because those also run against the embedded server.)
func TestServesAnExport(t *testing.T) {
	exported := filepath.Join(t.TempDir(), "exported")
	batch := readJSON[[]map[string]any](t, fixtures+"qwen3_bf16/batch.json")
	rollouts := lines(t, filepath.Join(t.TempDir(), "rollouts.jsonl"), batch)
	must(t, "update", "--model", fixtures+"qwen3_bf16", "--rollouts", rollouts, "--out", exported, "--set", "optimizer.lr=0.01")

	type sequence struct {
		ID       int     `json:"id"`
		TokenIDs []int32 `json:"token_ids"`
	}
	var seqs []sequence
	for i, n := range []int{2, 17, 150, 300} {
		ids := make([]int32, n)
		for j := range ids {
			ids[j] = int32((j*j + 7*i + 3) % 96)
		}
		seqs = append(seqs, sequence{i, ids})
	}
	scores := filepath.Join(t.TempDir(), "scores.jsonl")
	must(t, "logprobs", "--model", exported, "--in", lines(t, filepath.Join(t.TempDir(), "in.jsonl"), seqs), "--out", scores)

	url := serveVLLM(t, exported, "--skip-tokenizer-init", "--max-model-len", "512")
	c := client(t)
	far, tokens := 0.0, 0
	for i, want := range readLines[struct{ Logprobs []float64 }](t, content(t, scores)) {
		ids, err := json.Marshal(seqs[i].TokenIDs)
		if err != nil {
			t.Fatal(err)
		}
		status, reply, err := post(t.Context(), c, url+"/v1/completions", fmt.Sprintf(
			`{"model":"exported","prompt":%s,"max_tokens":1,"temperature":1,"prompt_logprobs":0,"detokenize":false}`, ids))
		if err != nil || status != 200 {
			t.Fatalf("%d %s %v", status, reply, err)
		}
		var v struct {
			Choices []struct {
				PromptLogprobs []map[string]struct{ Logprob float64 } `json:"prompt_logprobs"`
			}
		}
		if err := json.Unmarshal(reply, &v); err != nil {
			t.Fatal(err)
		}
		for j, id := range seqs[i].TokenIDs[1:] {
			got, ok := v.Choices[0].PromptLogprobs[j+1][fmt.Sprint(id)]
			if !ok {
				t.Fatalf("sequence %d: no log-prob of token %d", i, j+1)
			}
			far, tokens = max(far, math.Abs(got.Logprob-want.Logprobs[j])), tokens+1
		}
	}
	t.Logf("%d log-probs, at most %.2g nats apart", tokens, far)
	if !(far < 1e-4) || tokens != 2+17+150+300-4 {
		t.Errorf("vLLM and justrl are %g nats apart over %d tokens", far, tokens)
	}
}

// serveVLLM starts a vLLM on a model and returns its URL; it ends with the test.
func serveVLLM(t *testing.T, dir string, args ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "vllm.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join("..", "..", "scripts", "vllm-serve"), append([]string{dir, fmt.Sprint(port)}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var failed error // once it has ended
	ended := make(chan struct{})
	go func() {
		failed = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("vLLM's log:\n%s", content(t, log.Name()))
		}
		_ = log.Close()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	c := client(t)
	for deadline := time.Now().Add(5 * time.Minute); ; {
		resp, err := c.Get(url + "/health")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == 200 {
				return url
			}
		}
		select {
		case <-ended:
			t.Fatalf("vLLM ended: %v\n%s", failed, content(t, log.Name()))
		case <-time.After(300 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("vLLM was not ready in 5 minutes:\n%s", content(t, log.Name()))
		}
	}
}
