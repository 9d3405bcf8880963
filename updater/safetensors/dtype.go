package safetensors

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// ItemSize is the size in bytes of one element of a type as safetensors
// spells it; false for a type that this package does not know.
func ItemSize(dtype string) (int, bool) {
	switch dtype {
	case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0":
		return 1, true
	case "U16", "I16", "F16", "BF16":
		return 2, true
	case "U32", "I32", "F32":
		return 4, true
	case "U64", "I64", "F64", "C64":
		return 8, true
	}
	return 0, false
}

// Info describes one tensor.
type Info struct {
	Name  string
	DType string  // as safetensors spells it: F32, BF16, F16, F64, I64, …
	Shape []int64 // empty for a scalar
	File  string  // base name of the file that holds it
}

// Size is the number of bytes that the tensor's shape and type ask for.
func (i Info) Size() (int64, error) {
	item, ok := ItemSize(i.DType)
	if !ok {
		return 0, fmt.Errorf("tensor %q: unknown dtype %q", i.Name, i.DType)
	}
	if slices.ContainsFunc(i.Shape, func(d int64) bool { return d < 0 }) {
		return 0, fmt.Errorf("tensor %q: shape %v has a negative dimension", i.Name, i.Shape)
	}
	if slices.Contains(i.Shape, 0) {
		return 0, nil // whatever the other dimensions are
	}
	size := uint64(item)
	for _, d := range i.Shape {
		hi, lo := bits.Mul64(size, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("tensor %q: shape %v is too large", i.Name, i.Shape)
		}
		size = lo
	}
	return int64(size), nil
}
