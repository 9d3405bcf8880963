package bridge

import (
	"errors"
	"testing"
)

func TestCheckTensors(t *testing.T) {
	embed := Tensor{"embed", "BF16", []int64{8, 4}}
	norm := Tensor{"norm", "F32", []int64{4}}
	scale := Tensor{"scale", "F32", nil} // no axes: one number
	anyType := func(x Tensor) Tensor { x.DType = ""; return x }
	shaped := func(x Tensor, shape ...int64) Tensor { x.Shape = shape; return x }
	for _, c := range []struct {
		name       string
		want, have []Tensor
		diff       string // "" if it passes
	}{
		{"equal", []Tensor{embed, norm, scale}, []Tensor{embed, norm, scale}, ""},
		{"in another order", []Tensor{embed, norm, scale}, []Tensor{scale, embed, norm}, ""},
		{"nothing of nothing", nil, nil, ""},
		{"missing: vLLM would keep the old values", []Tensor{embed, norm}, []Tensor{embed}, "norm is missing"},
		{"extra: vLLM would not know it", []Tensor{embed}, []Tensor{embed, norm}, "norm is not in the model"},
		{"all extra: a model that was never asked for", nil, []Tensor{norm}, "norm is not in the model"},
		{"twice, in two shards", []Tensor{embed, norm}, []Tensor{embed, norm, norm}, "norm is there twice"},
		{"twice and extra", []Tensor{embed}, []Tensor{embed, norm, norm}, "norm is there twice, norm is not in the model"},
		{"another shape", []Tensor{norm}, []Tensor{shaped(norm, 8)}, "norm has shape [8], want [4]"},
		{"transposed", []Tensor{embed}, []Tensor{shaped(embed, 4, 8)}, "embed has shape [4 8], want [8 4]"},
		{"one axis of one is not none", []Tensor{scale}, []Tensor{shaped(scale, 1)}, "scale has shape [1], want []"},
		{"another dtype", []Tensor{embed}, []Tensor{{"embed", "F32", []int64{8, 4}}}, "embed is F32, want BF16"},
		{"any dtype will do", []Tensor{anyType(embed)}, []Tensor{embed}, ""},
		{"any dtype, but the shape counts", []Tensor{anyType(norm)}, []Tensor{shaped(norm, 8)}, "norm has shape [8], want [4]"},
		{"no dtype does not pass for one", []Tensor{embed}, []Tensor{anyType(embed)}, "embed is , want BF16"},
		{"three differences are told", []Tensor{embed, norm, scale}, nil,
			"embed is missing, norm is missing, scale is missing"},
		{"of more than three only the number", []Tensor{embed, norm, scale}, []Tensor{{Name: "x"}, {Name: "y"}},
			"embed is missing, norm is missing, scale is missing, 2 more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckTensors(c.want, c.have)
			if c.diff == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if want := ErrTensors.Error() + ": " + c.diff; !errors.Is(err, ErrTensors) || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}
