//go:build torch

package cli

import (
	"context"

	"github.com/justrl/justrl/updater/torch"
)

// openTrainer loads a model for training or scoring; the caller closes it.
func openTrainer(ctx context.Context, o trainerOptions) (trainer, error) {
	return torch.Open(ctx, torch.Options{
		Dir: o.model, DType: o.dtype, Device: o.device, Threads: o.threads, Update: o.update, Optimizer: o.optimizer,
	})
}
