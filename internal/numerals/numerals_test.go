package numerals

import (
	"math"
	"testing"
)

func TestFormats(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tc := range []struct {
		name   string
		format Format
		x      float64
		want   string
	}{
		{"zero", Plain, 0, "0"}, {"a whole number", Plain, 55, "55"}, {"thousands", Plain, 7376.6, "7,377"}, {"tens", Plain, 37.14, "37.1"},
		{"ones", Plain, -1.256, "−1.26"}, {"tenths", Plain, 0.2085, "0.208"}, {"thousandths", Plain, 0.001234, "0.00123"}, {"small", Plain, 2.96e-5, "3.0×10⁻⁵"},
		{"large", Plain, 1.5e18, "1.50×10¹⁸"}, {"no number", Plain, nan, "–"}, {"infinite", Plain, inf, "–"}, {"too large to draw", Plain, 1e305, "–"},
		{"reward up", Reward, 0.671875, "+0.672"}, {"reward down", Reward, -0.39, "−0.390"}, {"no reward", Reward, nan, "–"},
		{"no percent", Percent, 0, "0\u00a0%"}, {"percent", Percent, 83.59, "83.6\u00a0%"}, {"a few", Percent, 0.0179, "0.02\u00a0%"}, {"hardly any", Percent, 0.003, "3×10⁻³\u00a0%"},
		{"seconds", Seconds, 2.534, "2.53\u00a0s"}, {"no time", Seconds, 1.6e-4, "<\u00a00.001\u00a0s"}, {"none", Seconds, nan, "–"},
		{"moments", Duration, 3.21, "3.2\u00a0s"}, {"under a minute", Duration, 59.4, "59\u00a0s"}, {"minutes", Duration, 79.6, "1\u00a0min 20\u00a0s"},
		{"nearly an hour", Duration, 3599.9, "60\u00a0min 0\u00a0s"}, {"hours", Duration, 7384, "2\u00a0h 3\u00a0min"}, {"days", Duration, 4380 * 296, "15\u00a0d 0\u00a0h"}, {"before it began", Duration, -1, "–"},
		{"few tokens", Amount, 224484, "224,484"}, {"many", Amount, 12517500, "12.5\u00a0million"}, {"very many", Amount, 62.84e9, "62.8\u00a0billion"}, {"uncountable", Amount, inf, "–"},
		{"tick", Tick, 0.30000000000000004, "0.3"}, {"tick of thousands", Tick, 2500, "2,500"}, {"small tick", Tick, -2.5e-5, "−2.5×10⁻⁵"}, {"a power of ten", Tick, 1e-5, "1×10⁻⁵"},
		{"step", Step, 5000, "5,000"}, {"no step", Step, nan, "–"},
	} {
		if got := tc.format(tc.x); got != tc.want {
			t.Errorf("%s: %g is %q, want %q", tc.name, tc.x, got, tc.want)
		}
	}
}

func TestCountOf(t *testing.T) {
	for want, n := range map[string]int{"0\u00a0steps": 0, "1\u00a0step": 1, "4,380\u00a0steps": 4380} {
		if got := CountOf(n, "step"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
