//go:build !torch

package cli

import (
	"context"
	"errors"
)

// withTorch tells the two builds apart.
const withTorch = false

// openTrainer needs libtorch, which this build leaves out.
func openTrainer(context.Context, trainerOptions) (trainer, error) {
	return nil, usage(errors.New("this build has no libtorch; clone the repository and run make for the full one, bin/justrl"))
}

// Prepare has nothing to do without libtorch.
func Prepare() {}

// openDecoder needs libtorch, which this build leaves out.
func openDecoder(embeddedOptions, int) (decoder, error) {
	return nil, usage(errors.New("this build has no embedded server; give --server URL, or clone the repository and run make for the full program, bin/justrl"))
}
