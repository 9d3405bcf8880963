//go:build !torch

// Package warmup makes policies for examples; it needs libtorch (build tag torch).
package warmup
