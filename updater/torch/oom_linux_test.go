//go:build torch && linux

package torch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/justrl/justrl/updater"
)

const starved = "JUSTRL_TEST_STARVED"

// A pack for which there is no memory: the error says which pack, how large it
// is and what to lower; no weight has changed, and with the memory back the
// same step passes. The memory is really refused: a child process limits its
// own address space.
func TestOutOfMemoryNamesThePack(t *testing.T) {
	onCPU(t)
	if os.Getenv(starved) != "" {
		starve(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestOutOfMemoryNamesThePack$", "-test.v")
	cmd.Env = append(os.Environ(), starved+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestOutOfMemoryNamesThePack") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func starve(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join("testdata", "qwen2_tied")
	trainer := openTrainer(t, dir)
	// One group of 64 answers of 500 tokens: 32,000 tokens in one pack, whose
	// activations are more than a hundred megabytes.
	group := updater.Group{Ordinal: 7}
	for i := range 64 {
		r := updater.Rollout{PromptTokenIDs: []int32{1, 2}, Reward: float64(i % 2)}
		for k := range 498 {
			r.TokenIDs = append(r.TokenIDs, int32((k*5+i)%96))
		}
		group.Rollouts = append(group.Rollouts, r)
	}
	small := updater.Group{Ordinal: 7, Rollouts: group.Rollouts[:2]}
	if _, err := trainer.Step(ctx, 1, []updater.Group{small}, nil); err != nil { // everything that is allocated once
		t.Fatal(err)
	}
	before, updates := sum(t, trainer), trainer.updates

	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &old); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: uint64(addressSpace(t)) + 24<<20, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		t.Fatal(err)
	}
	_, err := trainer.Step(ctx, 1, []updater.Group{group}, nil)
	if e := syscall.Setrlimit(syscall.RLIMIT_AS, &old); e != nil {
		t.Fatal(e)
	}
	want := regexp.MustCompile(`^step 1, update 0: pack 1 of 1 \(32000 tokens: group 7 rollout 0, group 7 rollout 1, .* and 60 more\): ` +
		`out of memory: lower update\.max_pack_tokens \(is 32768\), or set update\.recompute to true: torch: .*(can't allocate memory|bad_alloc)`)
	if err == nil || !want.MatchString(err.Error()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line as %s", err, want)
	}
	if sum(t, trainer) != before || trainer.updates != updates {
		t.Error("a weight changed")
	}
	if _, err := trainer.Step(ctx, 1, []updater.Group{group}, nil); err != nil {
		t.Errorf("with the memory back: %v", err)
	}
	if sum(t, trainer) == before {
		t.Error("the step that passed changed nothing")
	}
}

// addressSpace is the size of this process's in bytes.
func addressSpace(t *testing.T) int {
	t.Helper()
	return 1024 * statusKB(t, "VmSize")
}
