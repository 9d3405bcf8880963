//go:build !torch

package main

import (
	"context"
	"errors"
)

func makePolicy(context.Context, options, task) error {
	return errors.New("a policy needs libtorch: scripts/with-torch go run -tags torch ./examples/make …")
}
