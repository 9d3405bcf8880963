//go:build !linux

package reward

import "os/exec"

// start is cmd's; wait, once, is to be called in any case.
func start(cmd *exec.Cmd) (wait func() error, err error) { return cmd.Wait, cmd.Start() }
