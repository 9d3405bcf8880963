package reward

import (
	"os/exec"
	"runtime"
	"syscall"
)

// start starts cmd so that the kernel kills it when this process ends, however
// that is. Wait, once, is cmd's, to be called in any case.
//
// The kernel takes the end of the thread that started it for the end of the
// process: a thread is held for it until it has been waited for.
func start(cmd *exec.Cmd) (wait func() error, err error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, ended, left := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	if err := <-started; err != nil {
		<-left
		return nil, err
	}
	return func() error {
		err := cmd.Wait()
		close(ended)
		<-left
		return err
	}, nil
}
