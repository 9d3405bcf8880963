//go:build torch

package torch

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// initStd is the standard deviation of fresh matrices, as transformers' initializer_range.
const initStd = 0.02

// Init writes a randomly initialised model into dir, an existing folder:
// config.json and model.safetensors, in spec.DType (float32 where it is
// empty). Matrices are normal with deviation 0.02, norms 1, biases 0. The same
// spec and seed give the same bytes on every machine. A tokenizer is not
// written.
func Init(dir string, spec model.Spec, seed int64) error {
	if spec.DType == "" {
		spec.DType = "float32"
	}
	k, err := kindOf(spec.DType)
	if err != nil {
		return err
	}
	if k == kindFloat16 {
		return fmt.Errorf("torch: a new model in float16 is not supported; use bfloat16 or float32")
	}
	config, err := json.MarshalIndent(configOf(spec), "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, "config.json"), append(config, '\n')); err != nil {
		return err
	}
	var infos []safetensors.Info
	shapes := make(map[string][]int64)
	for _, t := range spec.Tensors() {
		infos = append(infos, safetensors.Info{Name: t.Name, DType: k.String(), Shape: t.Shape})
		shapes[t.Name] = t.Shape
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6a75737472 /* any constant */))
	return safetensors.WriteFile(filepath.Join(dir, safetensors.SingleName), infos, map[string]string{"format": "pt"}, func(name string) ([]byte, error) {
		return fresh(name, shapes[name], k, rng), nil
	})
}

// fresh is the first value of one parameter, little endian.
func fresh(name string, shape []int64, k kind, rng *rand.Rand) []byte {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	value := func() float32 { return float32(rng.NormFloat64() * initStd) }
	switch {
	case strings.HasSuffix(name, "norm.weight"):
		value = func() float32 { return 1 }
	case strings.HasSuffix(name, ".bias"):
		value = func() float32 { return 0 }
	}
	out := make([]byte, 0, n*int64(k.bytesPer()))
	for range n {
		bits := math.Float32bits(value())
		if k == kindBFloat16 {
			bits += 0x7fff + bits>>16&1 // round to nearest, ties to even
			out = binary.LittleEndian.AppendUint16(out, uint16(bits>>16))
		} else {
			out = binary.LittleEndian.AppendUint32(out, bits)
		}
	}
	return out
}
