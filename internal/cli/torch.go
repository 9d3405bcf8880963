//go:build torch

package cli

import (
	"context"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/updater/engine"
	"github.com/justrl/justrl/updater/torch"
)

// withTorch tells the two builds apart.
const withTorch = true

// A snapshot's bytes need not be read again to be hashed.
var _ bridge.HashingExporter = (*torch.Trainer)(nil)

// openTrainer loads a model for training or scoring; the caller closes it.
func openTrainer(ctx context.Context, o trainerOptions) (trainer, error) {
	return torch.Open(ctx, torch.Options{
		Dir: o.model, DType: o.dtype, Device: o.device, Threads: o.threads, Update: o.update, Optimizer: o.optimizer,
	})
}

// openDecoder loads a model for generation; the caller closes it.
func openDecoder(o embeddedOptions, context int) (decoder, error) {
	d, err := torch.OpenDecoder(torch.DecoderOptions{
		Dir: o.model, MaxLen: context, MaxRows: max(engine.DefaultMaxRows, o.sequences), CacheBytes: o.cache, Threads: o.threads, Batched: o.batched,
	})
	if err != nil {
		return nil, err // a nil *Decoder in a decoder would not be nil
	}
	return d, nil
}
