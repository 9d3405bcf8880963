package grpo

import (
	"math"
	"slices"
	"testing"
)

// Worked by hand: with one +1 among n rewards of −1 the mean is 2/n − 1 and
// the unbiased variance 4/n.
func TestAdvantages(t *testing.T) {
	for name, c := range map[string]struct {
		rewards []float64
		std     bool
		want    []float64
	}{
		"none":                     {nil, true, nil},
		"one of four":              {[]float64{1, -1, -1, -1}, true, []float64{1.5 / (1 + 1e-6), -0.5 / (1 + 1e-6), -0.5 / (1 + 1e-6), -0.5 / (1 + 1e-6)}},
		"one of four, without std": {[]float64{1, -1, -1, -1}, false, []float64{1.5, -0.5, -0.5, -0.5}},
		"half of two":              {[]float64{1, -1}, true, []float64{1 / (math.Sqrt2 + 1e-6), -1 / (math.Sqrt2 + 1e-6)}},
		"all right":                {[]float64{1, 1, 1}, true, []float64{0, 0, 0}},
		"all wrong":                {[]float64{-1, -1}, true, []float64{0, 0}},
		// 0.1 + 0.1 + 0.1 is not 0.3: the mean of equal rewards must not be rounded.
		"equal, and no binary fraction": {[]float64{0.1, 0.1, 0.1}, true, []float64{0, 0, 0}},
		"alone":                         {[]float64{-1}, true, []float64{-1 / (1 + 1e-6)}},
		"alone, without std":            {[]float64{-1}, false, []float64{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Advantages(c.rewards, c.std)
			if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) <= 1e-15 }) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// A reward that is not a number must not become one.
func TestAdvantagesOfBadRewards(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, rewards := range [][]float64{{bad}, {bad, 1}, {1, bad}, {bad, bad}, {1, -1, bad, 1}} {
			for _, std := range []bool{true, false} {
				for _, a := range Advantages(rewards, std) {
					if !math.IsNaN(a) {
						t.Errorf("Advantages(%v, %v) has %g, want NaN only", rewards, std, a)
					}
				}
			}
		}
	}
}

func FuzzAdvantages(f *testing.F) {
	f.Add(1.0, -1.0, 0.5, true)
	f.Add(math.NaN(), -1.0, 0.5, false)
	f.Add(math.MaxFloat64, -math.MaxFloat64, 0.5, true)
	f.Fuzz(func(t *testing.T, a, b, c float64, std bool) {
		got := Advantages([]float64{a, b, c}, std)
		sum, scale := 0.0, 0.0
		for _, x := range got {
			if math.IsNaN(x) != math.IsNaN(got[0]) || math.IsInf(x, 0) {
				t.Fatalf("%v: some are not finite and some are", got)
			}
			sum += x
			scale = max(scale, math.Abs(x))
		}
		if r := max(math.Abs(a), math.Abs(b), math.Abs(c)); finite(r) && r < 1e150 {
			// Centred, up to what the subtraction of the mean rounds (and the division by 1e-6 magnifies).
			if !(math.Abs(sum) <= 1e-12*scale+1e-9*r) {
				t.Errorf("%v sums to %g", got, sum)
			}
		}
	})
}
