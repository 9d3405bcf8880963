//go:build torch

package torch

import (
	"github.com/sugarme/gotch/libtch"
)

// The operations of libtch that the network uses, with sticky errors. Shapes
// are in the axis letters of doc.go.

// linear is x [T,I] · weightᵀ [O,I] (+ bias [O]); bias may be no tensor.
func (s *scope) linear(x, weight, bias tensor) tensor {
	return s.op("linear", []tensor{x, weight, bias}, func(out *libtch.Ctensor) {
		libtch.AtgLinear(out, x.h, weight.h, bias.h)
	})
}

// rows picks rows of x [T,…] by index [N] (int64).
func (s *scope) rows(x, index tensor) tensor {
	return s.op("index_select", []tensor{x, index}, func(out *libtch.Ctensor) {
		libtch.AtgIndexSelect(out, x.h, 0, index.h)
	})
}

// addRows does dst[index[i]] += src[i] in place.
func (s *scope) addRows(dst, index, src tensor) {
	s.op("index_add_", []tensor{dst, index, src}, func(out *libtch.Ctensor) {
		libtch.AtgIndexAdd_(out, dst.h, 0, index.h, src.h)
	})
}

func (s *scope) add(x, y tensor) tensor {
	return s.op("add", []tensor{x, y}, func(out *libtch.Ctensor) { libtch.AtgAdd(out, x.h, y.h) })
}

// addTo does dst += x in place.
func (s *scope) addTo(dst, x tensor) {
	s.op("add_", []tensor{dst, x}, func(out *libtch.Ctensor) { libtch.AtgAdd_(out, dst.h, x.h) })
}

// copyTo overwrites dst with x, converting.
func (s *scope) copyTo(dst, x tensor) {
	s.do("copy_", []tensor{dst, x}, func() { libtch.AtCopy_(dst.h, x.h) })
}

func (s *scope) view(x tensor, shape ...int64) tensor {
	return s.op("view", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgView(out, x.h, shape, len(shape)) })
}

func (s *scope) contiguous(x tensor) tensor {
	return s.op("contiguous", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgContiguous(out, x.h) })
}

// as converts x to k; x itself (a new handle) if it is k already.
func (s *scope) as(x tensor, k kind) tensor {
	return s.op("to", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgToDtype(out, x.h, int32(k), 0, 0) })
}

func (s *scope) outer(x, y tensor) tensor {
	return s.op("outer", []tensor{x, y}, func(out *libtch.Ctensor) { libtch.AtgOuter(out, x.h, y.h) })
}

func (s *scope) cos(x tensor) tensor {
	return s.op("cos", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgCos(out, x.h) })
}

func (s *scope) sin(x tensor) tensor {
	return s.op("sin", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgSin(out, x.h) })
}

func (s *scope) zerosLike(x tensor) tensor {
	return s.op("zeros_like", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgZerosLike(out, x.h) })
}

// leaf is x cut off from the graph that made it, with a gradient of its own.
func (s *scope) leaf(x tensor) tensor {
	d := s.op("detach", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgDetach(out, x.h) })
	s.requireGrad(d)
	return d
}

// requireGrad marks x in place.
func (s *scope) requireGrad(x tensor) {
	s.op("requires_grad_", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgSetRequiresGrad(out, x.h, 1) })
}

// grad runs body with gradients recorded; they are off everywhere else.
func (s *scope) grad(body func() tensor) tensor {
	libtch.AtGradSetEnabled(1)
	defer libtch.AtGradSetEnabled(0)
	return body()
}

// noGrad turns gradients off for the calling thread.
func noGrad() { libtch.AtGradSetEnabled(0) }
