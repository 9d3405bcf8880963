//go:build torch

package torch

import (
	"context"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/justrl/justrl/updater/engine"
)

// A device that this machine does not have is one line that says which library
// is missing and where it was looked for, or how many devices there are. The
// CPU is used first: libtorch must not have settled by then that there is no
// CUDA.
func TestOpenOnADeviceThatIsNotThere(t *testing.T) {
	dir := filepath.Join("testdata", "qwen2_tied")
	// Scoring and generating on the CPU settle nothing: a run with the embedded
	// server may train on a GPU.
	if _, err := openTrainer(t, dir).Score(context.Background(), [][]int32{{1, 2, 3}}, 1); err != nil {
		t.Fatal(err)
	}
	engineScores(t, openEngine(t, dir, engine.Options{MaxSequences: 1}), []int32{1, 2, 3})
	_, err := Open(context.Background(), Options{Dir: dir, Device: "cuda:99", Threads: 1})
	want := regexp.MustCompile(`^device cuda:99: torch: (` +
		`this libtorch has no CUDA half, /.*/libc10_cuda\.so is not there: .*LIBTORCH=DIR.*|` +
		`cannot load the CUDA half of libtorch, /.*/lib(c10|torch)_cuda\.so: lib.*\.so.*|` +
		`libtorch's CUDA half is loaded and sees no device: .*nvidia-smi.*|` +
		`libtorch has trained on the CPU in this process.*|` +
		`there are \d+, cuda:0 to cuda:\d+)$`)
	if err == nil || !want.MatchString(err.Error()) {
		t.Errorf("error %v, want one line as %s", err, want)
	}
}
