//go:build torch

package torch

// #include <stdlib.h>
import "C"

import (
	"fmt"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// kind is torch's at::ScalarType.
type kind int32

const (
	kindInt64    kind = 4
	kindFloat16  kind = 5
	kindFloat32  kind = 6
	kindBFloat16 kind = 15
)

// tensor is a handle of an at::Tensor. The zero value is no tensor. A handle
// belongs to the scope that made it, or to whoever took it with keep.
type tensor struct{ h libtch.Ctensor }

func (t tensor) ok() bool { return t.h != nil }

// shape returns the sizes of t.
func (t tensor) shape() []int64 {
	n := libtch.AtDim(t.h)
	if n == 0 {
		return nil // libtch takes the address of the first element
	}
	dims := make([]int64, n)
	libtch.AtShape(t.h, unsafe.Pointer(&dims[0]))
	return dims
}

// counter counts the handles that are alive, for the tests' post-condition.
type counter struct{ live atomic.Int64 }

func (c *counter) free(t tensor) {
	if t.ok() {
		libtch.AtFree(t.h)
		c.live.Add(-1)
	}
}

// scope owns the tensors that are made in it and frees them on close. The
// first failure sticks: later operations do nothing and return no tensor, so
// that a network reads as straight code and asks for err once.
//
// A scope is used on the worker's thread only.
type scope struct {
	*counter
	err  error
	made []tensor
}

func newScope(c *counter) *scope { return &scope{counter: c} }

// within runs body, which uses c, and makes c's failure s's.
func (s *scope) within(c *scope, body func()) {
	c.err = s.err
	body()
	s.err = c.err
}

// close frees what s still owns.
func (s *scope) close() {
	for _, t := range s.made {
		s.free(t)
	}
	s.made = nil
}

// adopt makes t s's own.
func (s *scope) adopt(t tensor) tensor {
	if t.ok() {
		s.made = append(s.made, t)
	}
	return t
}

// keep takes t out of s: the caller frees it.
func (s *scope) keep(t tensor) tensor {
	for i := len(s.made) - 1; i >= 0; i-- {
		if s.made[i] == t {
			s.made = append(s.made[:i], s.made[i+1:]...)
			return t
		}
	}
	return t
}

// drop frees t, which is s's own, before s closes.
func (s *scope) drop(t tensor) {
	for i := len(s.made) - 1; i >= 0; i-- {
		if s.made[i] == t {
			s.made = append(s.made[:i], s.made[i+1:]...)
			s.free(t)
			return
		}
	}
}

// op runs one operation of libtch and owns its result.
func (s *scope) op(name string, in []tensor, call func(out *libtch.Ctensor)) tensor {
	if s.err != nil {
		return tensor{}
	}
	var out libtch.Ctensor
	call(&out)
	if msg := lastError(); msg != "" {
		s.fail(name, in, msg)
		return tensor{}
	}
	s.live.Add(1)
	return s.adopt(tensor{out})
}

// do runs one operation of libtch that makes nothing.
func (s *scope) do(name string, in []tensor, call func()) {
	if s.err != nil {
		return
	}
	call()
	if msg := lastError(); msg != "" {
		s.fail(name, in, msg)
	}
}

// fail records the failure of an operation on the shapes of its operands.
func (s *scope) fail(name string, in []tensor, msg string) {
	if s.err != nil {
		return
	}
	shapes := make([]string, len(in))
	for i, t := range in {
		shapes[i] = "none"
		if t.ok() {
			shapes[i] = fmt.Sprint(t.shape())
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(msg), "\n")
	s.err = fmt.Errorf("torch: %s(%s): %s", name, strings.Join(shapes, ", "), first)
}

// lastError fetches and clears libtch's message of this thread; "" is none.
func lastError() string {
	msg := libtch.GetAndResetLastErr()
	if msg == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(msg))
	return C.GoString((*C.char)(unsafe.Pointer(msg)))
}
