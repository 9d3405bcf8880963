package bridge

import (
	"math"
	"strings"
	"testing"
)

func TestDiffs(t *testing.T) {
	for _, c := range []struct {
		name             string
		d                diffs
		max, median, rms float64
	}{
		{"nothing was scored", nil, 0, 0, 0},
		{"one, and its sign does not count", diffs{-3}, 3, 3, 3},
		{"odd: the middle of the absolute values, not of the values", diffs{-5, 1, 2}, 5, 2, math.Sqrt(10)},
		{"even: between the two in the middle", diffs{4, -1, 0, 3}, 4, 2, math.Sqrt(6.5)},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := append(diffs(nil), c.d...)
			if c.d.max() != c.max || c.d.median() != c.median || math.Abs(c.d.rms()-c.rms) > 1e-15 {
				t.Errorf("max %v, median %v, rms %v; want %v, %v, %v", c.d.max(), c.d.median(), c.d.rms(), c.max, c.median, c.rms)
			}
			for i := range before {
				if c.d[i] != before[i] {
					t.Fatalf("reordered: %v, was %v", c.d, before)
				}
			}
		})
	}
}

// What a server does not tell is in no comparison, on whichever side of it.
func TestUnknown(t *testing.T) {
	a, b := logprobs{-1, Unknown, -3, -5, Unknown}, logprobs{-1, -2, Unknown, -3, Unknown}
	d := a.minus(b)
	if d.max() != 2 || d.median() != 1 || math.Abs(d.rms()-math.Sqrt2) > 1e-15 || len(d.known()) != 2 {
		t.Errorf("differences %v: max %v, median %v, rms %v", d, d.max(), d.median(), d.rms())
	}
	if a.known() != 3 || a.equalTokens(b) != 1 || a.equalTokens(a) != 3 {
		t.Errorf("%d known, %d equal, %d to itself", a.known(), a.equalTokens(b), a.equalTokens(a))
	}
	trainer := diffs{0, 9, 9, -2, 9} // where the server is not known, the trainer does not count
	if got := d.along(trainer); got != 1 {
		t.Errorf("%v along %v is %v, want 1", d, trainer, got)
	}
	if got, err := flatten([][]int32{{1, 2}}, [][]float32{{Unknown}}); err != nil || got.known() != 0 {
		t.Errorf("flattened to %v, %v", got, err)
	}
}

// A limit is passed by `diff <= limit`: a NaN must not vanish on the way there.
func TestDiffsKeepNaN(t *testing.T) {
	for _, d := range []diffs{{math.NaN(), 1}, {1, math.NaN()}} {
		if d.max() <= math.MaxFloat64 || d.rms() <= math.MaxFloat64 {
			t.Errorf("%v: max %v, rms %v, want NaN", d, d.max(), d.rms())
		}
	}
}

func TestAlong(t *testing.T) {
	e := diffs{1, -2, 0}
	for _, c := range []struct {
		name string
		d    diffs
		want float64
	}{
		{"the same movement", diffs{1, -2, 0}, 1},
		{"none", diffs{0, 0, 0}, 0},
		{"the other way", diffs{-1, 2, 0}, -1},
		{"where the other did not move", diffs{0, 0, 9}, 0},
		{"at a right angle", diffs{2, 1, 0}, 0},
		{"half as far, and elsewhere too", diffs{0.5, -1, 7}, 0.5},
		{"not normalized by its own length", diffs{3, -6, 0}, 3},
	} {
		if got := c.d.along(e); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: %v along %v is %v, want %v", c.name, c.d, e, got, c.want)
		}
	}
}

func TestEqualTokens(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	a := logprobs{-1, 0, -2.5, float32(math.NaN())}
	for _, c := range []struct {
		name string
		b    logprobs
		want int
	}{
		{"all", logprobs{-1, 0, -2.5, float32(math.NaN())}, 4},
		{"the last bit counts", logprobs{math.Nextafter32(-1, 0), 0, -2.5, float32(math.NaN())}, 3},
		{"bits, not values", logprobs{-1, negativeZero, -2.5, float32(math.NaN())}, 3},
		{"none", logprobs{-2, 1, 0, 0}, 0},
	} {
		if got := a.equalTokens(c.b); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// In float32 the small one of two numbers would be lost.
func TestMinusIsFloat64(t *testing.T) {
	a, b := logprobs{-1, 0.25}, logprobs{-1e-9, 1}
	d := a.minus(b)
	if d[0] != -1+float64(float32(1e-9)) || d[0] == -1 || d[1] != -0.75 {
		t.Errorf("%v minus %v is %v", a, b, d)
	}
}

func TestFlatten(t *testing.T) {
	probes := [][]int32{{1, 2, 3}, {4, 5}}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		name   string
		scores [][]float32
		want   string // of the error
	}{
		{"whole", [][]float32{{-1, -2}, {-3}}, ""},
		{"a sequence is missing", [][]float32{{-1, -2}}, "scored 1 sequences of 2"},
		{"one too many", [][]float32{{-1, -2}, {-3}, {}}, "scored 3 sequences of 2"},
		{"one log-prob a token, the first included", [][]float32{{-1, -2}, {0, -3}}, "probe 1: 2 log-probs for 2 tokens"},
		{"cut short", [][]float32{{-1}, {-3}}, "probe 0: 1 log-probs for 3 tokens"},
		{"broken weights", [][]float32{{-1, nan}, {-3}}, "probe 0: the log-prob of token 2 is NaN"},
		{"an impossible token", [][]float32{{-1, -2}, {inf}}, "probe 1: the log-prob of token 1 is -Inf"},
		{"nothing", nil, "scored 0 sequences of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := flatten(probes, c.scores)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil || got.equalTokens(logprobs{-1, -2, -3}) != 3 || len(got) != 3 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
