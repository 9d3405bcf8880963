// Command justrl trains language models by plain GRPO against inference
// servers that are already there.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/justrl/justrl/internal/cli"
)

func main() {
	cli.Prepare()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
