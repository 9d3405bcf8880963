package grpo

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/justrl/justrl/updater"
)

func TestCompareServer(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		server, trainer [][]float32
		want            updater.Mismatch
	}{
		"nothing":         {nil, nil, updater.Mismatch{}},
		"no log-probs":    {[][]float32{nil, nil}, [][]float32{{-1}, {-2}}, updater.Mismatch{}},
		"agreement":       {[][]float32{{-1, -2}}, [][]float32{{-1, -2}}, updater.Mismatch{Tokens: 2, RatioP50: 1, RatioP99: 1, RatioMax: 1}},
		"the server high": {[][]float32{{-1}}, [][]float32{{-1.5}}, updater.Mismatch{Tokens: 1, KL: 0.5, RatioP50: math.Exp(0.5), RatioP99: math.Exp(0.5), RatioMax: math.Exp(0.5)}},
		// Differences 0, 0.25, −0.5 over two responses, one left out; sorted ratios 1, e^¼, e^½.
		"several": {[][]float32{{-1, -1}, nil, {-1}}, [][]float32{{-1, -1.25}, {-9}, {-0.5}}, updater.Mismatch{Tokens: 3, KL: -0.25 / 3, KLStdErr: math.Sqrt(7.0 / 144),
			RatioP50: math.Exp(0.25), RatioP99: math.Exp(0.25) + 0.98*(math.Exp(0.5)-math.Exp(0.25)), RatioMax: math.Exp(0.5)}},
		"no number":             {[][]float32{{nan}}, [][]float32{{-1}}, updater.Mismatch{Tokens: 1, KL: 700, RatioP50: math.Exp(700), RatioP99: math.Exp(700), RatioMax: math.Exp(700)}},
		"one of four no number": {[][]float32{{-1, -1, inf, -1}}, [][]float32{{-1, -1, -1, -1}}, updater.Mismatch{Tokens: 4, KL: 700, RatioP50: 1, RatioP99: 1 + 0.97*(math.Exp(700)-1), RatioMax: math.Exp(700)}},
		"impossible":            {[][]float32{{-1}}, [][]float32{{inf}}, updater.Mismatch{Tokens: 1, KL: 700, RatioP50: math.Exp(700), RatioP99: math.Exp(700), RatioMax: math.Exp(700)}},
		"a stand-in":            {[][]float32{{-9999}}, [][]float32{{-1}}, updater.Mismatch{Tokens: 1, KL: -700, RatioP50: math.Exp(700), RatioP99: math.Exp(700), RatioMax: math.Exp(700)}},
		"both not it":           {[][]float32{{inf}}, [][]float32{{inf}}, updater.Mismatch{Tokens: 1, KL: 700, RatioP50: math.Exp(700), RatioP99: math.Exp(700), RatioMax: math.Exp(700)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, worst := CompareServer(c.server, c.trainer)
			if math.Abs(got.KLStdErr-c.want.KLStdErr) > 1e-12 {
				t.Errorf("standard error %g, want %g", got.KLStdErr, c.want.KLStdErr)
			}
			for _, p := range [][2]float64{{got.KL, c.want.KL}, {got.RatioP50, c.want.RatioP50}, {got.RatioP99, c.want.RatioP99}, {got.RatioMax, c.want.RatioMax}} {
				if !(math.Abs(p[0]-p[1]) <= 1e-15*math.Abs(p[1])) {
					t.Errorf("%+v, want %+v", got, c.want)
				}
			}
			if (worst < 0) != (c.want.Tokens == 0) {
				t.Errorf("the worst response is %d of %d tokens", worst, c.want.Tokens)
			}
			if got.Tokens != c.want.Tokens {
				t.Errorf("%d tokens, want %d", got.Tokens, c.want.Tokens)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("cannot be recorded: %v", err)
			}
		})
	}
}

// The place of the largest difference, of either sign; the first of equals.
func TestCompareServerWorst(t *testing.T) {
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		server, trainer [][]float32
		response, token int
		logRatio        float64
	}{
		"nothing":              {[][]float32{nil}, [][]float32{{-1}}, -1, 0, 0},
		"agreement":            {[][]float32{nil, {-1, -2}}, [][]float32{{-9}, {-1, -2}}, 1, 0, 0},
		"the trainer lower":    {[][]float32{{-1, -1}, {-1, -1, -1}}, [][]float32{{-1.25, -1}, {-1, -1, -3}}, 1, 2, -2},
		"the trainer higher":   {[][]float32{{-1, -4}, {-1}}, [][]float32{{-1, -1}, {-3}}, 0, 1, 3},
		"two the same":         {[][]float32{{-1, -2, -1}}, [][]float32{{-1, -1, -2}}, 0, 1, 1},
		"no number beats all":  {[][]float32{{-9, nan}, {-90}}, [][]float32{{-1, -1}, {-1}}, 0, 1, -700},
		"past what is counted": {[][]float32{{-1, -9999}}, [][]float32{{-1, -1}}, 0, 1, 700},
	} {
		t.Run(name, func(t *testing.T) {
			m, response := CompareServer(c.server, c.trainer)
			if response != c.response || m.WorstToken != c.token || m.WorstLogRatio != c.logRatio {
				t.Errorf("token %d of response %d, by %g; want token %d of %d, by %g", m.WorstToken, response, m.WorstLogRatio, c.token, c.response, c.logRatio)
			}
		})
	}
}

// k3 by hand, and where a plain sum would overflow.
func TestCompareServerK3(t *testing.T) {
	m, _ := CompareServer([][]float32{{-1, -2}, {-1}}, [][]float32{{-1.5, -2}, {-0.5}})
	if want := (math.Exp(-0.5) - 1 + 0.5 + math.Exp(0.5) - 1 - 0.5) / 3; math.Abs(m.K3-want) > 1e-15 {
		t.Errorf("k3 is %g, want %g", m.K3, want)
	}
	far := make([]float32, 40_000)
	for i := range far {
		far[i] = -9999
	}
	m, _ = CompareServer([][]float32{far}, [][]float32{make([]float32, len(far))})
	if !finite(m.K3) || !(m.K3 > 1e303) {
		t.Errorf("k3 is %g", m.K3)
	}
}

func TestCompareServerMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"responses": func() { CompareServer([][]float32{{-1}}, nil) },
		"tokens":    func() { CompareServer([][]float32{{-1}}, [][]float32{{-1, -1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
