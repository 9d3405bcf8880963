package ollama

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/ollamatest"
)

func TestConformanceOnFake(t *testing.T) {
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		r := newRig(t, ollamatest.Options{})
		return bridgetest.Harness{
			Publisher: r.publisher, Server: scorer{r.publisher.c, "tiny"}, Probes: [][]int32{ollamatest.Plain{}.Encode("1+1=2"), ollamatest.Plain{}.Encode("abcd")},
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				return r.publish(t, version, weights(which))
			},
			Paused: func() (bool, error) { return false, nil }, // Ollama never is
		}
	})
}

// TestLoad: what is there after two loads, and what was uploaded.
func TestLoad(t *testing.T) {
	r := newRig(t, ollamatest.Options{License: "MIT"})
	for version, w := range []weights{"a", "b", "b"} {
		if err := r.publisher.Load(t.Context(), r.publish(t, int64(version+1), w)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"tiny:before-justrl", "tiny:latest"}, r.Models()); diff != "" {
		t.Errorf("models (-want +got)\n%s", diff)
	}
	if n := r.Blobs(); n != 4 { // two weights, config.json and tokenizer_config.json
		t.Errorf("%d blobs, want each file once and none that Ollama does not read", n)
	}
	show, err := r.publisher.show(t.Context())
	if err != nil || show.License != "MIT\nweights of justrl run run-3" {
		t.Errorf("license %q, %v", show.License, err)
	}
	if err := r.publisher.StillLive(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKeepsOnlyWhatIsNotARuns: a run that goes on does not take its own weights for the user's model.
func TestKeepsOnlyWhatIsNotARuns(t *testing.T) {
	r := newRig(t, ollamatest.Options{License: "weights of justrl run other-9"})
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"tiny:latest"}, r.Models()); diff != "" {
		t.Errorf("models (-want +got)\n%s", diff)
	}
}

func TestSomebodyElseCreates(t *testing.T) {
	r := newRig(t, ollamatest.Options{})
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	r.Recreate("tiny:latest", []byte("theirs"))
	err := r.publisher.StillLive(t.Context())
	var canary *bridge.CanaryError
	if !errors.As(err, &canary) || canary.Part != bridge.PartIdle || canary.Version != 1 || !strings.Contains(err.Error(), "somebody else creates models there") {
		t.Errorf("error %v", err)
	}
	if err := r.publisher.Load(t.Context(), r.publish(t, 2, "a")); err != nil {
		t.Errorf("the load that puts it right: %v", err)
	}
}

// TestOlderRunner: a server on which something still answers with the older weights is not passed.
func TestOlderRunner(t *testing.T) {
	r := newRig(t, ollamatest.Options{})
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	before := r.greedy(t)
	r.Set(ollamatest.Faults{KeepWeights: true})
	err := r.publisher.Load(t.Context(), r.publish(t, 2, "b"))
	var canary *bridge.CanaryError
	if !errors.As(err, &canary) || canary.Part != bridge.PartOwn || canary.Version != 2 || !strings.Contains(err.Error(), "alone, and 200ms were not enough") {
		t.Errorf("error %v", err)
	}
	if got := r.greedy(t); got != before {
		t.Errorf("the fault was not met: %s, then %s", before, got)
	}
}

// TestFailedCreate: a server that could not create serves what it did.
func TestFailedCreate(t *testing.T) {
	r := newRig(t, ollamatest.Options{})
	if err := r.publisher.Load(t.Context(), r.publish(t, 1, "a")); err != nil {
		t.Fatal(err)
	}
	before := r.greedy(t)
	r.Set(ollamatest.Faults{FailCreates: 1})
	s := r.publish(t, 2, "b")
	if err := r.publisher.Load(t.Context(), s); err == nil || !strings.Contains(err.Error(), "/api/create: bad reply: no space left on device") {
		t.Errorf("error %v", err)
	}
	if got := r.greedy(t); got != before {
		t.Errorf("%s, then %s", before, got)
	}
	if err := r.publisher.Load(t.Context(), s); err != nil || r.greedy(t) == before {
		t.Errorf("the load after that: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	marker, err := atomicdir.Create(filepath.Join(dir, "s"), atomicdir.Marker{Version: 1}, func(tmp string) error { return weights("w").Export(t.Context(), tmp) })
	if err != nil {
		t.Fatal(err)
	}
	files, err := filesOf(filepath.Join(dir, "s"), marker)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	if want := []string{"config.json", "model.safetensors", configName}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	again, err := filesOf(filepath.Join(dir, "s"), marker)
	if err != nil || again[2].digest != files[2].digest {
		t.Errorf("the second digest of %s is %s, %v, the first %s", configName, again[2].digest, err, files[2].digest)
	}
	without := maps.Clone(marker.Files)
	delete(without, "model.safetensors")
	if _, err := filesOf(dir, atomicdir.Marker{Files: without}); err == nil || !strings.Contains(err.Error(), "has no *.safetensors") && !os.IsNotExist(err) {
		t.Errorf("without weights: %v", err)
	}
}

func TestParameters(t *testing.T) {
	got := parameters("num_ctx                        8\nnum_thread                     1\nstop                           \"<|im_start|>\"\nstop                           \"<|im_end|>\"\ntemperature                    0.6\nuse_mmap true\n", 512)
	want := map[string]any{"num_ctx": 512, "num_thread": 1.0, "stop": []any{"<|im_start|>", "<|im_end|>"}, "temperature": 0.6, "use_mmap": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string][2]string{
		"tiny": {"tiny:latest", "tiny:before-justrl"}, "tiny:7b": {"tiny:7b", "tiny:before-justrl"},
		"host:5000/me/tiny": {"host:5000/me/tiny:latest", "host:5000/me/tiny:before-justrl"},
	} {
		if got := [2]string{tagged(name), Kept(name)}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
