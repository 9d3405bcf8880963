//go:build !torch

package cli

import (
	"context"
	"errors"
)

// openTrainer needs libtorch, which this build leaves out.
func openTrainer(context.Context, trainerOptions) (trainer, error) {
	return nil, usage(errors.New("this build has no libtorch; clone the repository and run make for the full one, bin/justrl"))
}
