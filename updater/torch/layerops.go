//go:build torch

package torch

// #include "layers.h"
import "C"

// The pieces of a layer, layers.cpp and attention.cpp, with the same sticky
// errors as ops.go. Each has its gradient beside it.

// linear is x [T,I] · weightᵀ [O,I], + bias [O] and residual [T,O] where they are.
func (s *scope) linear(x, weight, bias, residual tensor) tensor {
	return s.native("linear", []tensor{x, weight, bias, residual}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_linear(handle(x), handle(weight), handle(bias), handle(residual), &out[0])
	})[0]
}

// linearBackward is x's gradient [T,I], given dy [T,O].
func (s *scope) linearBackward(dy, weight tensor) tensor {
	return s.native("linear_backward", []tensor{dy, weight}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_linear_backward(handle(dy), handle(weight), &out[0])
	})[0]
}

// linearWeights adds the gradients of weight and bias to dweight and dbias (if
// there is one), float32; it is what they hold if it is the first.
func (s *scope) linearWeights(dy, x tensor, first bool, dweight, dbias tensor) {
	s.native("linear_weights", []tensor{dy, x, dweight, dbias}, 0, func([]C.jr_tensor) *C.char {
		return C.jr_linear_weights(handle(dy), handle(x), truth(first), handle(dweight), handle(dbias))
	})
}

// rmsNorm normalises the last axis of x in float32 and scales it by weight;
// rstd is one over the root, float32, for each row.
func (s *scope) rmsNorm(x, weight tensor, eps float64) (y, rstd tensor) {
	out := s.native("rms_norm", []tensor{x, weight}, 2, func(out []C.jr_tensor) *C.char {
		return C.jr_rms_norm(handle(x), handle(weight), C.double(eps), &out[0], &out[1])
	})
	return out[0], out[1]
}

// rmsNormBackward adds x's gradient to dx and weight's to dweight (float32). A
// dx that is dy is replaced by x's gradient.
func (s *scope) rmsNormBackward(dy, x, weight, rstd, dx, dweight tensor) {
	s.native("rms_norm_backward", []tensor{dy, x, weight, rstd, dx, dweight}, 0, func([]C.jr_tensor) *C.char {
		return C.jr_rms_norm_backward(handle(dy), handle(x), handle(weight), handle(rstd), handle(dx), handle(dweight))
	})
}

// rotary turns, in place, each pair (d, d+D/2) of x [T,H,D] by the angle of
// cos, sin [T,D/2], or back: which is its gradient.
func (s *scope) rotary(x, cos, sin tensor, back bool) {
	s.native("rotary", []tensor{x, cos, sin}, 0, func([]C.jr_tensor) *C.char {
		return C.jr_rotary(handle(x), handle(cos), handle(sin), truth(back))
	})
}

// swiglu is silu(gate)·up of gateUp [T,2F]: [T,F].
func (s *scope) swiglu(gateUp tensor) tensor {
	return s.native("swiglu", []tensor{gateUp}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_swiglu(handle(gateUp), &out[0])
	})[0]
}

// swigluBackward turns gateUp into its gradient, given dy [T,F], and returns
// what swiglu did.
func (s *scope) swigluBackward(gateUp, dy tensor) tensor {
	return s.native("swiglu_backward", []tensor{gateUp, dy}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_swiglu_backward(handle(gateUp), handle(dy), &out[0])
	})[0]
}

// attention is causal self-attention inside each of the packed sequences:
// q [T,H,D], k and v [T,K,D] → y [T,H·D], and what its gradient needs.
func (s *scope) attention(q, k, v tensor, lengths []int64) (y, lse tensor) {
	out := s.native("attention", []tensor{q, k, v}, 2, func(out []C.jr_tensor) *C.char {
		return C.jr_attention(handle(q), handle(k), handle(v), (*C.int64_t)(&lengths[0]), C.int(len(lengths)), &out[0], &out[1])
	})
	return out[0], out[1]
}

// attentionBackward writes the gradients of q, k and v, given dy, over dq, dk and dv.
func (s *scope) attentionBackward(dy, q, k, v, y, lse tensor, lengths []int64, dq, dk, dv tensor) {
	s.native("attention_backward", []tensor{dy, q, k, v}, 0, func([]C.jr_tensor) *C.char {
		return C.jr_attention_backward(handle(dy), handle(q), handle(k), handle(v), handle(y), handle(lse),
			(*C.int64_t)(&lengths[0]), C.int(len(lengths)), handle(dq), handle(dk), handle(dv))
	})
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
