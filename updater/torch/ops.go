//go:build torch

package torch

import (
	"github.com/sugarme/gotch/libtch"
)

// The operations of libtch that the network uses, with sticky errors. Shapes
// are in the axis letters of doc.go.

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

// copyTo overwrites dst with x, converting.
func (s *scope) copyTo(dst, x tensor) {
	s.do("copy_", []tensor{dst, x}, func() { libtch.AtCopy_(dst.h, x.h) })
}

func (s *scope) view(x tensor, shape ...int64) tensor {
	return s.op("view", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgView(out, x.h, shape, len(shape)) })
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

// columns is heads·d columns of x [T,O], from the first on, as [T,heads,d]; a view.
func (s *scope) columns(x tensor, first, heads, d int64) tensor {
	part := s.op("narrow", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgNarrow(out, x.h, 1, first, heads*d) })
	defer s.drop(part)
	return s.view(part, -1, heads, d)
}

// slice is the rows [first, first+n) of x; a view.
func (s *scope) slice(x tensor, first, n int64) tensor {
	return s.op("narrow", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgNarrow(out, x.h, 0, first, n) })
}

// cat is xs under one another; a copy.
func (s *scope) cat(xs []tensor) tensor {
	list := make([]libtch.Ctensor, len(xs))
	for i, x := range xs {
		list[i] = x.h
	}
	return s.op("cat", xs, func(out *libtch.Ctensor) { libtch.AtgCat(out, list, len(list), 0) })
}

func (s *scope) emptyLike(x tensor) tensor {
	return s.op("empty_like", []tensor{x}, func(out *libtch.Ctensor) { libtch.AtgEmptyLike(out, x.h) })
}

// empty has anything in it.
func (s *scope) empty(shape []int64, k kind, device int) tensor {
	return s.op("empty", nil, func(out *libtch.Ctensor) { libtch.AtgEmpty(out, shape, len(shape), int32(k), int32(device)) })
}

// noGrad turns gradients off for the calling thread.
func noGrad() { libtch.AtGradSetEnabled(0) }
