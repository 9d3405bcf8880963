//go:build torch

package e2e

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/updater/safetensors"
)

// inspector reads real weights for the bridge.
type inspector struct{}

func (inspector) Tensors(dir string) ([]bridge.Tensor, error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return nil, err
	}
	defer set.Close() //nolint:errcheck // read only
	var out []bridge.Tensor
	for _, name := range set.Names() {
		info, _ := set.Info(name)
		out = append(out, bridge.Tensor{Name: name, DType: info.DType, Shape: info.Shape})
	}
	return out, nil
}

func (inspector) SHA256(dir string) (string, error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return "", err
	}
	defer set.Close() //nolint:errcheck // read only
	return set.SHA256()
}

// scaled exports the shipped policy with every weight times a factor.
type scaled float32

func (f scaled) Export(_ context.Context, dir string) error {
	set, err := safetensors.Open(policy)
	if err != nil {
		return err
	}
	defer set.Close() //nolint:errcheck // read only
	config, err := os.ReadFile(filepath.Join(policy, "config.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return err
	}
	return safetensors.Write(dir, set.Layout(), func(name string) ([]byte, error) {
		b, err := set.Bytes(name)
		if err != nil {
			return nil, err
		}
		out := make([]byte, 0, len(b))
		for i := 0; i < len(b); i += 4 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x*float32(f)))
		}
		return out, nil
	})
}
