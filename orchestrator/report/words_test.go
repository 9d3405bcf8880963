package report

import (
	"math"
	"testing"
)

func TestWords(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tc := range []struct {
		name   string
		format format
		x      float64
		want   string
	}{
		{"zero", plain, 0, "0"}, {"a whole number", plain, 55, "55"}, {"thousands", plain, 7376.6, "7,377"}, {"tens", plain, 37.14, "37.1"},
		{"ones", plain, -1.256, "−1.26"}, {"tenths", plain, 0.2085, "0.208"}, {"thousandths", plain, 0.001234, "0.00123"}, {"small", plain, 2.96e-5, "3.0×10⁻⁵"},
		{"large", plain, 1.5e18, "1.50×10¹⁸"}, {"no number", plain, nan, "–"}, {"infinite", plain, inf, "–"}, {"too large to draw", plain, 1e305, "–"},
		{"reward up", reward, 0.671875, "+0.672"}, {"reward down", reward, -0.39, "−0.390"}, {"no reward", reward, nan, "–"},
		{"no percent", percent, 0, "0\u00a0%"}, {"percent", percent, 83.59, "83.6\u00a0%"}, {"a few", percent, 0.0179, "0.02\u00a0%"}, {"hardly any", percent, 0.003, "3×10⁻³\u00a0%"},
		{"seconds", seconds, 2.534, "2.53\u00a0s"}, {"no time", seconds, 1.6e-4, "<\u00a00.001\u00a0s"}, {"none", seconds, nan, "–"},
		{"moments", duration, 3.21, "3.2\u00a0s"}, {"under a minute", duration, 59.4, "59\u00a0s"}, {"minutes", duration, 79.6, "1\u00a0min 20\u00a0s"},
		{"nearly an hour", duration, 3599.9, "60\u00a0min 0\u00a0s"}, {"hours", duration, 7384, "2\u00a0h 3\u00a0min"}, {"days", duration, 4380 * 296, "15\u00a0d 0\u00a0h"}, {"before it began", duration, -1, "–"},
		{"few tokens", amount, 224484, "224,484"}, {"many", amount, 12517500, "12.5\u00a0million"}, {"very many", amount, 62.84e9, "62.8\u00a0billion"}, {"uncountable", amount, inf, "–"},
		{"tick", tickLabel, 0.30000000000000004, "0.3"}, {"tick of thousands", tickLabel, 2500, "2,500"}, {"small tick", tickLabel, -2.5e-5, "−2.5×10⁻⁵"}, {"a power of ten", tickLabel, 1e-5, "1×10⁻⁵"},
		{"step", step, 5000, "5,000"}, {"no step", step, nan, "–"},
	} {
		if got := tc.format(tc.x); got != tc.want {
			t.Errorf("%s: %g is %q, want %q", tc.name, tc.x, got, tc.want)
		}
	}
}

func TestCountOf(t *testing.T) {
	for want, n := range map[string]int{"0\u00a0steps": 0, "1\u00a0step": 1, "4,380\u00a0steps": 4380} {
		if got := countOf(n, "step"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
