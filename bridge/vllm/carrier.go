package vllm

import (
	"context"
	"fmt"
	"io"

	"github.com/justrl/justrl/bridge"
)

// Weights are a snapshot's tensors; updater/safetensors.Set is one.
type Weights interface {
	// Bytes are a tensor's, little endian and row-major, valid until Close.
	Bytes(name string) ([]byte, error)
	io.Closer
}

// Tensor is one to be sent, whole: the server cuts it for its own layout.
type Tensor struct {
	bridge.Tensor
	Data []byte // little endian, row-major; only valid during the Send
}

// Carrier is the data plane of a weight transfer: it brings the bytes, while
// [Publisher] says over HTTP what they are. One method at a time, but for Join
// and Send, which run while the server answers the call that they belong to.
type Carrier interface {
	// Init prepares a meeting with so many of the server's workers, and returns
	// the init_info that tells them of it.
	Init(ctx context.Context, workers int) (info map[string]any, err error)
	// Join waits until all of them are there.
	Join(ctx context.Context) error
	// Send brings every worker all tensors, in this order.
	Send(ctx context.Context, tensors []Tensor) error
	// Close ends the meeting; another Init may follow.
	Close() error
}

// dtypes are torch's words for safetensors' types.
var dtypes = map[string]string{
	"BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
	"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
	"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}

// updateInfo says which tensors come, in the order in which they come.
type updateInfo struct {
	Names  []string  `json:"names"`
	DTypes []string  `json:"dtype_names"`
	Shapes [][]int64 `json:"shapes"`
}

// tensors lists what a snapshot holds with its bytes; they are w's.
func (p *Publisher) tensors(dir string, w Weights) (info updateInfo, out []Tensor, err error) {
	have, err := p.o.Inspector.Tensors(dir)
	if err != nil {
		return info, nil, err
	}
	for _, t := range have {
		dtype, ok := dtypes[t.DType]
		if !ok {
			return info, nil, fmt.Errorf("%s: tensor %s is %s, which cannot be sent", dir, t.Name, t.DType)
		}
		b, err := w.Bytes(t.Name)
		if err != nil {
			return info, nil, err
		}
		shape := t.Shape
		if shape == nil {
			shape = []int64{} // of a scalar, not null
		}
		info.Names, info.DTypes, info.Shapes = append(info.Names, t.Name), append(info.DTypes, dtype), append(info.Shapes, shape)
		out = append(out, Tensor{t, b})
	}
	return info, out, nil
}
