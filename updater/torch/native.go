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

// The operations of our own C++, with the same sticky errors as ops.go.

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

// native runs one function of our own C++ with n outputs and owns them.
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

// keepMemory makes the process keep the memory of large tensors that are freed,
// until trimMemory. See memory.cpp.
func keepMemory() { C.jr_keep_memory() }

// trimMemory gives back to the kernel what lies idle.
func trimMemory() { C.jr_trim_memory() }

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
