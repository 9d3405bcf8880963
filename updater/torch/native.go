//go:build torch

package torch

// #include <stdlib.h>
// #include "justrl.h"
import "C"

import (
	"errors"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// The operations of justrl.cpp, with the same sticky errors as ops.go.

func message(c *C.char) string {
	if c == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(c))
	return C.GoString(c)
}

func asError(c *C.char) error {
	if msg := message(c); msg != "" {
		return errors.New("torch: " + msg)
	}
	return nil
}

func handle(t tensor) C.jr_tensor { return C.jr_tensor(unsafe.Pointer(t.h)) }

// handles is a list that C may read; one element where there is none, so that it has an address.
func handles(ts []tensor) []C.jr_tensor {
	out := make([]C.jr_tensor, max(1, len(ts)))
	for i, t := range ts {
		out[i] = handle(t)
	}
	return out
}

// native runs one function of justrl.cpp with n outputs and owns them.
func (s *scope) native(name string, in []tensor, n int, call func(out []C.jr_tensor) *C.char) []tensor {
	made := make([]tensor, n)
	if s.err != nil {
		return made
	}
	out := make([]C.jr_tensor, max(1, n))
	if msg := message(call(out)); msg != "" {
		s.fail(name, in, msg)
		return made
	}
	for i := range made {
		s.live.Add(1)
		made[i] = s.adopt(tensor{libtch.Ctensor(unsafe.Pointer(out[i]))})
	}
	return made
}

// setThreads sets the threads of an operation, for the calling OS thread.
func setThreads(n int) error { return asError(C.jr_set_threads(C.int(n))) }

// loadCUDA loads the CUDA half of libtorch and returns how many devices it sees.
func loadCUDA() (int, error) {
	if err := asError(C.jr_load_cuda()); err != nil {
		return 0, err
	}
	var n C.int
	err := asError(C.jr_cuda_count(&n))
	return int(n), err
}

// from copies data (of kind k, row-major) to the device as kind `as`.
func (s *scope) from(data unsafe.Pointer, shape []int64, k kind, device int, as kind) tensor {
	dims := shape
	if len(dims) == 0 {
		dims = []int64{0} // an address for C; none of it is read
	}
	return s.native("from", nil, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_from_bytes(data, (*C.int64_t)(&dims[0]), C.int(len(shape)), C.int(k), C.int(device), C.int(as), &out[0])
	})[0]
}

// ints copies v to the device as int64 [len(v)].
func (s *scope) ints(v []int64, device int) tensor {
	return s.from(unsafe.Pointer(unsafe.SliceData(v)), []int64{int64(len(v))}, kindInt64, device, kindInt64)
}

// floats copies v to the device as float32 [len(v)].
func (s *scope) floats(v []float32, device int) tensor {
	return s.from(unsafe.Pointer(unsafe.SliceData(v)), []int64{int64(len(v))}, kindFloat32, device, kindFloat32)
}

// bytes copies t, converted to kind as, into dst, whose size must match.
func (s *scope) bytes(t tensor, as kind, dst []byte) {
	s.native("bytes", []tensor{t}, 0, func([]C.jr_tensor) *C.char {
		return C.jr_to_bytes(handle(t), C.int(as), unsafe.Pointer(unsafe.SliceData(dst)), C.size_t(len(dst)))
	})
}

// read copies t [n] to the host as float32.
func (s *scope) read(t tensor, n int) []float32 {
	out := make([]float32, n)
	s.bytes(t, kindFloat32, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), 4*n))
	return out
}

// gradients returns d(out·dout)/d(input) for each input, and frees out's graph.
func (s *scope) gradients(out, dout tensor, inputs []tensor) []tensor {
	return s.native("grad", []tensor{out, dout}, len(inputs), func(grads []C.jr_tensor) *C.char {
		in := handles(inputs)
		return C.jr_grad(handle(out), handle(dout), &in[0], C.int(len(inputs)), &grads[0])
	})
}

// attention is causal self-attention inside each of the packed sequences:
// q [T,H,D], k and v [T,K,D] → [T,H·D].
func (s *scope) attention(q, k, v tensor, lengths []int64) tensor {
	return s.native("attention", []tensor{q, k, v}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_attention(handle(q), handle(k), handle(v), (*C.int64_t)(&lengths[0]), C.int(len(lengths)), &out[0])
	})[0]
}

// rmsNorm normalises the last axis of x in float32 and scales it by weight.
func (s *scope) rmsNorm(x, weight tensor, eps float64) tensor {
	return s.native("rms_norm", []tensor{x, weight}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_rms_norm(handle(x), handle(weight), C.double(eps), &out[0])
	})[0]
}

// rotary turns each pair (d, d+D/2) of x [T,H,D] by the angle of cos, sin [T,D/2].
func (s *scope) rotary(x, cos, sin tensor) tensor {
	return s.native("rotary", []tensor{x, cos, sin}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_rotary(handle(x), handle(cos), handle(sin), &out[0])
	})[0]
}

// swiglu is silu(gate)·up.
func (s *scope) swiglu(gate, up tensor) tensor {
	return s.native("swiglu", []tensor{gate, up}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_swiglu(handle(gate), handle(up), &out[0])
	})[0]
}

// logprob returns, for hidden [N,E] and head weight [V,E], the log-probs of
// targets [N], the entropies and the log of the softmax's denominator, float32
// [N] each; `rows` of the N are done at a time.
func (s *scope) logprob(hidden, weight, targets tensor, temperature float64, rows int) (logp, entropy, lse tensor) {
	out := s.native("logprob", []tensor{hidden, weight, targets}, 3, func(out []C.jr_tensor) *C.char {
		return C.jr_logprob(handle(hidden), handle(weight), handle(targets), C.double(temperature), C.int64_t(rows), &out[0], &out[1], &out[2])
	})
	return out[0], out[1], out[2]
}

// logprobBackward returns the gradient of hidden given dlogp [N], and adds the
// head weight's to dweight (float32). entropy and dentropy [N] are no tensors
// where the loss has no entropy in it.
func (s *scope) logprobBackward(hidden, weight, targets, lse, dlogp, entropy, dentropy tensor, temperature float64, rows int, dweight tensor) tensor {
	in := []tensor{hidden, weight, targets, lse, dlogp, dweight}
	return s.native("logprob_backward", in, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_logprob_backward(handle(hidden), handle(weight), handle(targets), handle(lse), handle(dlogp),
			handle(entropy), handle(dentropy), C.double(temperature), C.int64_t(rows), handle(dweight), &out[0])
	})[0]
}

// norm is the L2 norm over all of ts.
func (s *scope) norm(ts []tensor) float64 {
	var n C.double
	s.native("grad_norm", nil, 0, func([]C.jr_tensor) *C.char {
		list := handles(ts)
		return C.jr_grad_norm(&list[0], C.int(len(ts)), &n)
	})
	return float64(n)
}

// scale multiplies each of ts in place.
func (s *scope) scale(ts []tensor, factor float64) {
	s.native("scale", nil, 0, func([]C.jr_tensor) *C.char {
		list := handles(ts)
		return C.jr_scale(&list[0], C.int(len(ts)), C.double(factor))
	})
}
