//go:build torch

package torch

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

var fixtures = []string{"qwen2_tied", "qwen2_untied", "llama3_scaled", "qwen3_qknorm", "qwen3_bf16", "llama_bias_v4"}

// testDevice is where trainers are opened: "" is the CPU. `make test-cuda` sets it.
var testDevice = os.Getenv("JUSTRL_TEST_DEVICE")

// onCPU skips a test of what is promised, or can be arranged, on a CPU only.
func onCPU(t *testing.T) {
	t.Helper()
	if testDevice != "" {
		t.Skipf("of a CPU, not of %s", testDevice)
	}
}

// slack widens a bound for a device that sums in another order than the CPU's.
func slack() float64 {
	if testDevice != "" {
		return 2
	}
	return 1
}

// openTrainer opens a trainer on one thread (operations this small only lose by
// more); when the test ends it is closed and no tensor may be alive.
func openTrainer(t *testing.T, dir string, edit ...func(*Options)) *Trainer {
	t.Helper()
	o := Options{Dir: dir, Threads: 1, Device: testDevice, Update: updater.DefaultConfig(), Optimizer: updater.DefaultOptimizerConfig()}
	o.Optimizer.WarmupSteps = 0
	for _, e := range edit {
		e(&o)
	}
	trainer, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if testDevice != "" && o.DType == "" && trainer.net.kind != kindFloat32 {
		_ = trainer.Close()
		t.Skip("a model in bfloat16 is computed in bfloat16 there")
	}
	t.Cleanup(func() {
		if err := trainer.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := trainer.counter.live.Load(); n != 0 {
			t.Errorf("%d tensors are alive after Close", n)
		}
	})
	return trainer
}

// readJSON fills v from a file, all of whose fields it must know.
func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// openTensors opens one safetensors file until the test ends.
func openTensors(t *testing.T, path string) *safetensors.Set {
	t.Helper()
	set, err := safetensors.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set
}

// values reads a tensor of set as numbers.
func values[E float32 | float64 | int32](t *testing.T, set *safetensors.Set, name string) []E {
	t.Helper()
	b, err := set.Bytes(name)
	if err != nil {
		t.Fatal(err)
	}
	var e E
	out := make([]E, len(b)/int(unsafe.Sizeof(e)))
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), len(b)), b)
	return out
}

// host copies a tensor of the trainer as float32.
func (t *Trainer) host(tb testing.TB, x tensor, n int) []float32 {
	tb.Helper()
	var out []float32
	err := t.worker.do(func() error {
		s := newScope(t.counter)
		defer s.close()
		out = s.read(x, n)
		return s.err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func (p *parameter) elements() int {
	n := int64(1)
	for _, d := range p.shape {
		n *= d
	}
	return int(n)
}

// farthest is the largest |got − want|.
func farthest[A, B float32 | float64](t *testing.T, got []A, want []B) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	far := 0.0
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) || d > far {
			far = d
		}
	}
	return far
}

// relative is |got − want| / |want|.
func relative(got, want float64) float64 {
	if want == 0 {
		return math.Abs(got)
	}
	return math.Abs(got-want) / math.Abs(want)
}

// distance is ‖a − b‖ in float64.
func distance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// kit is a folder of reference data beside the repository; without it the test is skipped.
func kit(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "kits", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: the reference kit %s is not on this machine", path)
	}
	return path
}
