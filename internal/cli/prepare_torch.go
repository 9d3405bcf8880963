//go:build torch

package cli

import (
	"os"
	"slices"
	"syscall"
)

// Prepare makes libtorch's threads sleep while they wait for one another. They
// spin by default, and on a machine that has something else to do a pass of the
// engine, which is many short waits, then takes several times as long; on an
// idle one it makes no difference (docs/measurements.md). OpenMP reads the
// setting once, before main: so the program starts itself again with it. What
// the user has set is left alone, and a failure leaves spinning threads.
func Prepare() {
	computes := len(os.Args) > 1 && slices.Contains([]string{"run", "serve", "logprobs", "update", "replay", "sweep"}, os.Args[1])
	for _, set := range []string{"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} {
		_, is := os.LookupEnv(set)
		computes = computes && !is
	}
	if path, err := os.Executable(); computes && err == nil {
		_ = syscall.Exec(path, os.Args, append(os.Environ(), "OMP_WAIT_POLICY=passive")) // returns only when it failed
	}
}
