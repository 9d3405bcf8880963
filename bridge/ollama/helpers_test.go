package ollama

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// weights is a model's folder for the fake: what it serves is a hash of their bytes.
type weights string

// Export makes weights a bridge.Exporter.
func (w weights) Export(_ context.Context, dir string) error {
	for name, text := range map[string]string{
		"model.safetensors": string(w), "config.json": `{"model_type":"qwen2"}`, "README.md": "not for Ollama",
		configName: `{"eos_token":"<|end|>"}`, templateName: "{{ messages }}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// inspector reads folders of weights.
type inspector struct{}

func (inspector) Tensors(string) ([]bridge.Tensor, error) { return bridgetest.Tensors(), nil }

func (inspector) SHA256(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	return string(b), err
}

// rig is a fake Ollama, a publisher for it and a folder of snapshots.
type rig struct {
	*ollamatest.Server
	publisher *Publisher
	root      string
}

func newRig(t *testing.T, o ollamatest.Options) *rig {
	t.Helper()
	o.Tokenizer, o.Vocab, o.End, o.Begin = ollamatest.Plain{}, ollamatest.PlainVocab, ollamatest.End, ollamatest.Begin
	r := &rig{Server: ollamatest.New(t, o), root: filepath.Join(t.TempDir(), "snapshots")}
	e, err := endpoint.New(r.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	r.publisher, err = New(e, Options{Model: "tiny", Run: "run", Context: 64, Want: bridgetest.Tensors(), Inspector: inspector{}, Drain: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) publish(t *testing.T, version int64, w weights) bridge.Snapshot {
	t.Helper()
	s := bridge.Snapshots{Root: r.root, Exporter: w, Inspector: inspector{}, Want: bridgetest.Tensors()}
	out, err := s.Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// greedy is the first likeliest token that the server gives.
func (r *rig) greedy(t *testing.T) string {
	t.Helper()
	s, err := scorer{r.publisher.c, "tiny"}.next(t.Context(), "who are you?")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
